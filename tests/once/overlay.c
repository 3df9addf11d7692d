/* What a hostile program may try on an overlay: to give orders to overlayfs and to whoever reads its layer, to leave rights behind, and
 * to make reading it go on for ever. Most of it fails, which is the kernel's affair: the test looks at what comes of it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static void tries(int result) {
    if (result < 0 && getenv("LOUD"))
        perror("refused");
}

static void file(const char *path) {
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    tries(fd < 0 ? -1 : (int) write(fd, "x", 1));
    tries(close(fd));
}

int main(void) {
    static const char *names[] = {"opaque", "redirect", "metacopy", "origin", "whiteout", "impure", "upper", "nlink"};
    static const char *values[] = {"y", "x", "/etc"};
    static const unsigned char rights[20] = {1, 0, 0, 2, 2};
    char name[64], path[256];

    /* A directory that is merged with the host's, a file that is a copy of it, and new ones. */
    chmod("below", 0700);
    chmod("kept", 0600);
    mkdir("new", 0755);
    file("new/file");
    for (int prefix = 0; prefix < 2; prefix++)
        for (unsigned at = 0; at < sizeof names / sizeof *names; at++)
            for (unsigned value = 0; value < 3; value++) {
                snprintf(name, sizeof name, "%s.overlay.%s", prefix ? "trusted" : "user", names[at]);
                const char *text = values[value];
                tries(setxattr("below", name, text, strlen(text), 0));
                tries(setxattr("kept", name, text, strlen(text), 0));
                tries(setxattr("new", name, text, strlen(text), 0));
                tries(setxattr("new/file", name, text, strlen(text), 0));
                tries(setxattr(".", name, text, strlen(text), 0));
            }
    tries(mknod("changed.new", S_IFCHR | 0600, makedev(0, 0)));
    tries(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
    tries(mknod("new/disk", S_IFBLK | 0666, makedev(8, 0)));
    file("program");
    tries(setxattr("program", "security.capability", rights, sizeof rights, 0));
    tries(chmod("program", 06755));
    tries(symlink("/etc", "new/etc"));
    tries(symlink("..", "new/up"));
    tries(mkfifo("new/pipe", 0666));
    for (int at = 0; at < 50; at++) {
        snprintf(path, sizeof path, "new/name%d", at);
        tries(link("new/file", path));
    }
    file("new/\033[2J\nerror: forged");
    file("new/\xff\xfe");
    /* Deeper than any path can say. */
    memset(path, 'd', 200);
    path[200] = 0;
    for (int at = 0; at < 40; at++) {
        tries(mkdir(path, 0755));
        tries(chdir(path));
    }
    return 0;
}
