// The least that any program must do for the same result, with no system call more: what the agent is held against.
//
//     floor                          nothing at all: a bare process
//     floor compare MANIFEST [N]     looks whether everything is as the manifest says, with N threads (1 unless said)
//     floor write MANIFEST           makes it so: each file under another name first, then renamed; one sync at the end
//
// A manifest is a list of entries, each with a line of its own; paths hold no space:
//
//     d PATH            a directory
//     f PATH LENGTH     a file; LENGTH bytes of content and a newline follow
//     l PATH TARGET     a symbolic link
//     r PATH            a file to be read whole, whatever it holds (only compare)
//     x COMMAND         a command line that a shell runs and that must end with 0 (only compare)
//
// The exit code is 0, 1 where something differs or cannot be done, 2 where the program is called wrongly.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MOST_THREADS = 64 };

struct entry {
    char kind;
    const char *path;
    const char *content; // of a file; of a link its target
    size_t length;
};

static struct entry *entries;
static size_t entry_count;

static void fail(const char *what, const char *path)
{
    fprintf(stderr, "floor: %s %s: %s\n", what, path, errno != 0 ? strerror(errno) : "it differs");
    exit(1);
}

static char *read_whole(const char *path, size_t *length)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) < 0)
        fail("read", path);
    // Files of /proc say that they are empty.
    size_t room = status.st_size > 0 ? (size_t)status.st_size : 1 << 16;
    char *bytes = malloc(room + 1);
    ssize_t count = 0;
    *length = 0;
    while (*length < room && (count = read(file, bytes + *length, room - *length)) > 0)
        *length += (size_t)count;
    if (count < 0)
        fail("read", path);
    bytes[*length] = '\0';
    close(file);
    return bytes;
}

// Cuts the manifest into entries, in place.
static void parse(const char *path)
{
    size_t length, room = 1024;
    char *next = read_whole(path, &length), *end = next + length;
    entries = malloc(room * sizeof *entries);
    while (next < end) {
        char *line = next, *newline = memchr(next, '\n', (size_t)(end - next));
        if (newline == NULL || newline - line < 3) {
            fprintf(stderr, "floor: %s is no manifest\n", path);
            exit(2);
        }
        *newline = '\0';
        next = newline + 1;
        if (entry_count == room)
            entries = realloc(entries, (room *= 2) * sizeof *entries);
        struct entry *entry = &entries[entry_count++];
        *entry = (struct entry){ .kind = *line, .path = line + 2 };
        char *space = strchr(line + 2, ' ');
        if (entry->kind == 'f' && space != NULL) {
            *space = '\0';
            entry->length = strtoul(space + 1, NULL, 10);
            entry->content = next;
            next += entry->length + 1;
        } else if (entry->kind == 'l' && space != NULL) {
            *space = '\0';
            entry->content = space + 1;
            entry->length = strlen(space + 1);
        }
    }
}

static void compare_file(const struct entry *entry, char *buffer, size_t room)
{
    int file = open(entry->path, O_RDONLY | O_CLOEXEC);
    // One byte more than is wanted shows a file that is longer.
    char *bytes = entry->length < room ? buffer : malloc(entry->length + 1);
    errno = file < 0 ? errno : 0;
    if (file < 0 || read(file, bytes, entry->length + 1) != (ssize_t)entry->length ||
        memcmp(bytes, entry->content, entry->length) != 0)
        fail("compare", entry->path);
    close(file);
    if (bytes != buffer)
        free(bytes);
}

static void read_only(const struct entry *entry, char *buffer, size_t room)
{
    int file = open(entry->path, O_RDONLY | O_CLOEXEC);
    ssize_t count = -1;
    while (file >= 0 && (count = read(file, buffer, room)) == (ssize_t)room)
        ;
    if (count < 0)
        fail("read", entry->path);
    close(file);
}

static void run(const struct entry *entry)
{
    char *line[] = { "sh", "-c", (char *)entry->path, NULL };
    pid_t process;
    int status;
    errno = posix_spawn(&process, "/bin/sh", NULL, NULL, line, environ);
    if (errno != 0 || waitpid(process, &status, 0) < 0 || status != 0)
        fail("run", entry->path);
}

static void compare(const struct entry *entry, char *buffer, size_t room)
{
    struct stat status;
    switch (entry->kind) {
    case 'd':
        if (stat(entry->path, &status) < 0 || !S_ISDIR(status.st_mode))
            fail("find the directory", entry->path);
        break;
    case 'f':
        compare_file(entry, buffer, room);
        break;
    case 'l':
        errno = 0;
        if (readlink(entry->path, buffer, room) != (ssize_t)entry->length ||
            memcmp(buffer, entry->content, entry->length) != 0)
            fail("compare the link", entry->path);
        break;
    case 'r':
        read_only(entry, buffer, room);
        break;
    case 'x':
        run(entry);
        break;
    default:
        fail("understand", entry->path);
    }
}

struct share {
    size_t first, last;
};

static void *compare_share(void *argument)
{
    struct share *share = argument;
    char buffer[1 << 16];
    for (size_t index = share->first; index < share->last; index++)
        compare(&entries[index], buffer, sizeof buffer);
    return NULL;
}

static void compare_all(size_t threads)
{
    struct share shares[MOST_THREADS];
    pthread_t others[MOST_THREADS];
    for (size_t index = 0; index < threads; index++) {
        shares[index] = (struct share){ entry_count * index / threads, entry_count * (index + 1) / threads };
        if (index > 0 && (errno = pthread_create(&others[index], NULL, compare_share, &shares[index])) != 0)
            fail("start a thread for", "comparing");
    }
    compare_share(&shares[0]);
    for (size_t index = 1; index < threads; index++)
        pthread_join(others[index], NULL);
}

static void write_file(const struct entry *entry)
{
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s.new", entry->path);
    int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    errno = file < 0 ? errno : ENOSPC;
    if (file < 0 || write(file, entry->content, entry->length) != (ssize_t)entry->length)
        fail("write", temporary);
    close(file);
    if (rename(temporary, entry->path) < 0)
        fail("rename to", entry->path);
}

static void write_all(void)
{
    for (size_t index = 0; index < entry_count; index++) {
        const struct entry *entry = &entries[index];
        if (entry->kind == 'd' && mkdir(entry->path, 0755) < 0)
            fail("make", entry->path);
        if (entry->kind == 'f')
            write_file(entry);
        if (entry->kind == 'l' && symlink(entry->content, entry->path) < 0)
            fail("link", entry->path);
    }
    if (entry_count == 0)
        return;
    int root = open(entries[0].path, O_RDONLY | O_CLOEXEC);
    if (root < 0 || syncfs(root) < 0)
        fail("sync", entries[0].path);
}

int main(int count, char **arguments)
{
    if (count == 1)
        return 0;
    size_t threads = count > 3 ? strtoul(arguments[3], NULL, 10) : 1;
    int comparing = strcmp(arguments[1], "compare") == 0, writing = strcmp(arguments[1], "write") == 0;
    if (count < 3 || !(comparing || writing) || threads < 1 || threads > MOST_THREADS) {
        fprintf(stderr, "usage: floor [compare MANIFEST [THREADS] | write MANIFEST]\n");
        return 2;
    }
    parse(arguments[2]);
    if (comparing)
        compare_all(threads);
    else
        write_all();
    return 0;
}
