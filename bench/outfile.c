/* SPDX-License-Identifier: Apache-2.0 */
#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report.h"

/* For the signal handler: the temporary file that is open now. */
static char *volatile open_temporary;

static void remove_temporary(int number)
{
    char *path = open_temporary;
    if (path) {
        unlink(path);
    }
    signal(number, SIG_DFL);
    raise(number);
}

void outfile_handle_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction old;
        /* What the parent ignores, as nohup does, stays ignored. */
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
            struct sigaction action = {.sa_handler = remove_temporary};
            sigemptyset(&action.sa_mask);
            sigaction(numbers[i], &action, NULL);
        }
    }
    /* Past the size limit a write then fails with a reason instead of killing the process. */
    signal(SIGXFSZ, SIG_IGN);
}

static int fail_path(const char *path, const char *what, int reason)
{
    return fail(TOOL_USAGE, "%s: %s: %s", path, what, strerror(reason));
}

static void release(struct outfile *file)
{
    open_temporary = NULL;
    free(file->target);
    free(file->temporary);
    memset(file, 0, sizeof *file);
}

/* mkstemp makes files that only the owner can read: give it the old file's mode or the usual. */
static void set_mode(int descriptor, const struct stat *old)
{
    mode_t mask = umask(0);
    umask(mask);
    mode_t mode = old ? old->st_mode & 0777 : 0666 & ~mask;
    /* Some file systems have no modes; the file is then as good as they can make it. */
    (void)!fchmod(descriptor, mode);
}

static int open_directly(struct outfile *file)
{
    file->stream = fopen(file->target, "wb");
    if (!file->stream) {
        int status = fail_path(file->path, "cannot be opened for writing", errno);
        release(file);
        return status;
    }
    return TOOL_OK;
}

static int open_temporary_file(struct outfile *file, const struct stat *old)
{
    size_t size = strlen(file->target) + sizeof ".XXXXXX";
    file->temporary = malloc(size);
    if (!file->temporary) {
        release(file);
        return fail_memory("a file name", size);
    }
    snprintf(file->temporary, size, "%s.XXXXXX", file->target);
    int descriptor = mkstemp(file->temporary);
    if (descriptor < 0) {
        int status = fail_path(file->path, "cannot write a temporary file beside it", errno);
        release(file);
        return status;
    }
    open_temporary = file->temporary;
    set_mode(descriptor, old);
    file->stream = fdopen(descriptor, "wb");
    if (!file->stream) {
        int status = fail_path(file->path, "cannot be opened for writing", errno);
        close(descriptor);
        unlink(file->temporary);
        release(file);
        return status;
    }
    return TOOL_OK;
}

int outfile_open(struct outfile *file, const char *path)
{
    memset(file, 0, sizeof *file);
    file->path = path;
    struct stat old;
    int exists = stat(path, &old) == 0;
    if (!exists && errno != ENOENT) {
        return fail_path(path, "cannot be opened for writing", errno);
    }
    if (!exists && (path[0] == '\0' || path[strlen(path) - 1] == '/')) {
        return fail(TOOL_USAGE, "'%s' is not the name of a file to write", path);
    }
    if (exists && S_ISDIR(old.st_mode)) {
        return fail(TOOL_USAGE, "%s: is a directory; give the name of a file to write", path);
    }
    /* Resolved, so that a symbolic link stays one and the file that it names is replaced. */
    file->target = exists ? realpath(path, NULL) : strdup(path);
    if (!file->target) {
        return fail_path(path, "cannot be opened for writing", errno);
    }
    if (exists && !S_ISREG(old.st_mode)) {
        return open_directly(file);
    }
    return open_temporary_file(file, exists ? &old : NULL);
}

int outfile_write(struct outfile *file, const void *data, size_t size)
{
    if (size && fwrite(data, 1, size, file->stream) != size) {
        return fail_path(file->path, "cannot be written", errno);
    }
    return TOOL_OK;
}

/* Makes the rename itself last; not every file system can, and then nothing more can be done. */
static void sync_directory(const char *path)
{
    char *copy = strdup(path);
    char *slash = copy ? strrchr(copy, '/') : NULL;
    if (slash) {
        slash[slash == copy ? 1 : 0] = '\0';
    }
    int descriptor = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        (void)!fsync(descriptor);
        close(descriptor);
    }
    free(copy);
}

int outfile_commit(struct outfile *file)
{
    int reason = 0;
    if (ferror(file->stream)) {
        reason = EIO;
    }
    if (fflush(file->stream) != 0) {
        reason = errno;
    }
    if (!reason && file->temporary && fsync(fileno(file->stream)) != 0) {
        reason = errno;
    }
    if (fclose(file->stream) != 0 && !reason) {
        reason = errno;
    }
    file->stream = NULL;
    if (!reason && file->temporary && rename(file->temporary, file->target) != 0) {
        reason = errno;
    }
    int status = TOOL_OK;
    if (reason) {
        status = fail_path(file->path, "cannot be written", reason);
        if (file->temporary) {
            unlink(file->temporary);
        }
    } else if (file->temporary) {
        sync_directory(file->target);
    }
    release(file);
    return status;
}

void outfile_discard(struct outfile *file)
{
    if (file->stream) {
        fclose(file->stream);
        if (file->temporary) {
            unlink(file->temporary);
        }
    }
    release(file);
}
