// Has some calls fail with the error numbers that FAULTS gives, such as "flock=37 fsync_folder=5 pread_hole=5".
// "threads=3" has all threads but the first three fail to start.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

static int fault(const char *call) {
    const char *faults = getenv("FAULTS");
    const char *found = faults ? strstr(faults, call) : NULL;
    return found ? atoi(found + strlen(call)) : 0;
}

int flock(int fd, int operation) {
    int number = fault("flock=");
    if (number) {
        errno = number;
        return -1;
    }
    int (*next)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
    return next(fd, operation);
}

int fsync(int fd) {
    struct stat found;
    int number = fault("fsync_folder=");
    if (number && fstat(fd, &found) == 0 && S_ISDIR(found.st_mode)) {
        errno = number;
        return -1;
    }
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return next(fd);
}

// Fails for a file that is one hole.
ssize_t pread64(int fd, void *buffer, size_t count, off64_t offset) {
    struct stat found;
    int number = fault("pread_hole=");
    if (number && fstat(fd, &found) == 0 && found.st_size > 0 && found.st_blocks == 0) {
        errno = number;
        return -1;
    }
    ssize_t (*next)(int, void *, size_t, off64_t) =
        (ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
    return next(fd, buffer, count, offset);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    static atomic_int started;
    int most = fault("threads=");
    if (most && atomic_fetch_add(&started, 1) >= most) {
        return EAGAIN;
    }
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
    return next(thread, attributes, start, argument);
}
