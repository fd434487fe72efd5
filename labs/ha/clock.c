/* SPDX-License-Identifier: Apache-2.0 */
/* A wall clock that jumps, for one process: preloaded, it adds the seconds in the file $LAB_CLOCK.
 * Clocks that nobody sets (monotonic, since boot) stay as they are, and so do all sleeps. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    char text[32] = {0};
    const char *path = getenv("LAB_CLOCK");
    long done = syscall(SYS_clock_gettime, clock, now);

    if (done == 0 && clock == CLOCK_REALTIME && path) {
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0)
                now->tv_sec += strtol(text, NULL, 10);
            close(file);
        }
    }
    return done == 0 ? 0 : -1;
}
