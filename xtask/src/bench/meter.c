// Runs a program once and prints what that cost, on one line:
//
//     WALL_NANOSECONDS CPU_MICROSECONDS PEAK_KILOBYTES EXIT_CODE
//
// A program of its own, and a small one, for two reasons: the kernel counts the memory of whoever starts a process
// into that process's peak, and the same meter runs inside a test machine. Wall time is from before the start to after
// the end; CPU time and peak memory include the program's own children. The program reads nothing, and its standard
// output goes nowhere; its standard error is the meter's. With -s everything that waits to be written is written first,
// so that a timed program does not pay for others.
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long microseconds(struct timeval time)
{
    return time.tv_sec * 1000000LL + time.tv_usec;
}

int main(int count, char **arguments)
{
    char **line = arguments + 1;
    if (count > 1 && strcmp(*line, "-s") == 0) {
        sync();
        line++;
    }
    if (*line == NULL) {
        fprintf(stderr, "usage: meter [-s] PROGRAM [ARGUMENT]...\n");
        return 2;
    }
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);

    pid_t process;
    int status;
    struct rusage usage;
    long long started = nanoseconds();
    int error = posix_spawn(&process, *line, &files, NULL, line, environ);
    if (error != 0) {
        fprintf(stderr, "meter: cannot start %s: %s\n", *line, strerror(error));
        return 2;
    }
    if (wait4(process, &status, 0, &usage) < 0) {
        perror("meter: cannot wait");
        return 2;
    }
    long long wall = nanoseconds() - started;
    long long cpu = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    printf("%lld %lld %ld %d\n", wall, cpu, usage.ru_maxrss, code);
    return 0;
}
