// load N [FILE]: calls getppid(2) exactly N times as fast as it can. Then appends to FILE (or writes to the standard
// output) one line: calls, nanoseconds of wall time, microseconds of CPU time. Nothing in it or in what starts it
// (the dynamic loader, libc) makes this system call otherwise, so whoever counts getppid calls must count N.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long calls = argc > 1 ? atol(argv[1]) : 1000000;
    struct timespec begin, end;
    struct rusage used;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (long i = 0; i < calls; i++)
        syscall(SYS_getppid);
    clock_gettime(CLOCK_MONOTONIC, &end);
    getrusage(RUSAGE_SELF, &used);
    FILE *out = argc > 2 ? fopen(argv[2], "a") : stdout;
    if (!out)
        return 1;
    fprintf(out, "%ld %lld %ld\n", calls,
            (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec,
            (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000L + used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    return fclose(out) != 0;
}
