/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_VERIFY_HTML_H
#define BENCH_VERIFY_HTML_H

#include "outfile.h"
#include "verify_run.h"

/*
 * Writes the report: one self-contained page with the counts, the table of each device and
 * variant, every failure, and for the worst case maps of the error of every stage, for which that
 * case is run once more. Prints what went wrong and returns the exit status.
 */
int verify_html_write(struct verify_job *job, struct outfile *file);

#endif
