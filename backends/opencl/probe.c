#include "backends/opencl/opencl.h"
