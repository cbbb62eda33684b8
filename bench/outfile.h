/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_OUTFILE_H
#define BENCH_OUTFILE_H

#include <stdint.h>
#include <stdio.h>

/*
 * A file that replaces an old one only when it is complete. What is written goes to a temporary
 * file in the same directory; `outfile_commit` syncs it and renames it over the target. Until
 * then, and after any failure, the target is as it was. A signal that ends the process
 * removes the temporary file. A target that is no regular file, such as a pipe or a device, is
 * written directly. One file at a time may be open per process.
 *
 * Functions that return int print the reason of a failure and return the exit status.
 */
struct outfile {
    FILE *stream;
    const char *path; /* as the user named it */
    char *target;     /* path with symbolic links resolved */
    char *temporary;  /* NULL when the target is written directly */
};

/* Keeps `path`. */
int outfile_open(struct outfile *file, const char *path);

int outfile_write(struct outfile *file, const void *data, size_t size);

/* Completes the file, or fails and leaves the old one; closes `file` in both cases. */
int outfile_commit(struct outfile *file);

/* Gives up what was written. Does nothing on a file that is closed or all zero. */
void outfile_discard(struct outfile *file);

/* Removes the temporary file when the process is interrupted. Called once at start. */
void outfile_handle_signals(void);

#endif
