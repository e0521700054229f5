/* Moves the time of day by as many seconds as the environment says. Loaded before the C library, whose clock it hides. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    long failed = syscall(SYS_clock_gettime, clock, time);
    const char *wrong = getenv("CLOCK_WRONG_BY");
    if (!failed && clock == CLOCK_REALTIME && wrong) time->tv_sec += atol(wrong);
    return (int)failed;
}
