/* Calls that write fail, as those of a broken disk do: loaded before the C library.

   FAULT_CALL  write, fsync or close
   FAULT_PATH  of files whose path holds this
   FAULT_FIRST from which such call of a process on
   FAULT_ERRNO what is said then

   No header is included: the compiler alone is needed. */

typedef long size;
#define NEXT ((void *)-1L) /* RTLD_NEXT of glibc */

extern int *__errno_location(void);
extern int atoi(const char *);
extern void *dlsym(void *, const char *);
extern char *getenv(const char *);
extern size readlink(const char *, char *, unsigned long);
extern int snprintf(char *, unsigned long, const char *, ...);
extern int strcmp(const char *, const char *);
extern char *strstr(const char *, const char *);

static int fails(const char *call, int descriptor)
{
    static int seen;
    char link[64], path[4097];
    const char *wanted = getenv("FAULT_CALL");
    if (!wanted || strcmp(wanted, call))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    size length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (!strstr(path, getenv("FAULT_PATH")))
        return 0;
    return ++seen >= atoi(getenv("FAULT_FIRST"));
}

static int told(void)
{
    *__errno_location() = atoi(getenv("FAULT_ERRNO"));
    return -1;
}

size write(int descriptor, const void *data, unsigned long length)
{
    size (*real)(int, const void *, unsigned long) = dlsym(NEXT, "write");
    return fails("write", descriptor) ? told() : real(descriptor, data, length);
}

int fsync(int descriptor)
{
    int (*real)(int) = dlsym(NEXT, "fsync");
    return fails("fsync", descriptor) ? told() : real(descriptor);
}

int close(int descriptor)
{
    int (*real)(int) = dlsym(NEXT, "close");
    int failed = fails("close", descriptor), done = real(descriptor);
    return failed ? told() : done;
}
