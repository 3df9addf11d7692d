// Files left in a shared directory for the host: set-user-id programs, by every call that can make one.

#define PLANTED SHARED "/planted-here"
enum { SETUID = 04755 };

// What came of it is for the host to see.
static Verdict tried(const char *call, long result) {
    if (result < 0 && errno == ENOSYS && plain) return absent("%s: not in this kernel", call);
    return contained("%s: %s", call, result < 0 ? why() : "works, without effect");
}

#define TRIED(name, call)                              \
    static Verdict name(NOTHING) {        \
        umask(0);                                      \
        return tried(#name, (call));                   \
    }

static int made(void) { return open(PLANTED, O_WRONLY | O_CREAT | O_CLOEXEC, 0755); }

TRIED(by_chmod, (made(), chmod(PLANTED, SETUID)))
TRIED(by_setgid, (made(), chmod(PLANTED, 02755)))
TRIED(by_fchmod, fchmod(made(), SETUID))
TRIED(by_fchmodat, (made(), syscall(SYS_fchmodat, AT_FDCWD, PLANTED, SETUID)))
TRIED(by_fchmodat2, syscall(452, made(), "", SETUID, AT_EMPTY_PATH))
TRIED(by_open, syscall(SYS_open, PLANTED, O_WRONLY | O_CREAT, SETUID))
TRIED(by_openat, syscall(SYS_openat, AT_FDCWD, PLANTED, O_WRONLY | O_CREAT, SETUID))
TRIED(by_openat2, syscall(SYS_openat2, AT_FDCWD, PLANTED, ((uint64_t[3]){O_WRONLY | O_CREAT, SETUID}), 24))
TRIED(by_creat, syscall(SYS_creat, PLANTED, SETUID))
TRIED(by_mknod, syscall(SYS_mknod, PLANTED, S_IFREG | SETUID, 0))
TRIED(by_mknodat, syscall(SYS_mknodat, AT_FDCWD, PLANTED, S_IFREG | SETUID, 0))
TRIED(by_directory, (mkdir(PLANTED, 0755), chmod(PLANTED, 02755)))
// Kept beside the original, it stays when that is replaced for its flaw.
TRIED(by_link, link(SHARED "/programs/setuid", PLANTED))
TRIED(by_owner, fchown(made(), CANARY_UID, CANARY_UID))
TRIED(by_root, made())

// Made without a name, which it is given when all is done.
static Verdict by_nameless(NOTHING) {
    umask(0);
    char path[50];
    snprintf(path, sizeof path, "/proc/self/fd/%ld", syscall(SYS_openat, AT_FDCWD, SHARED, O_WRONLY | O_TMPFILE, SETUID));
    return tried("linkat", linkat(AT_FDCWD, path, AT_FDCWD, PLANTED, AT_SYMLINK_FOLLOW));
}

// Through the other table of system calls, by its number there.
static Verdict by_32_bit_call(NOTHING) {
    static const char path[] = PLANTED;
    made();
    return tried("int 0x80", call_32(15 /* chmod */, (long)path, SETUID));
}

static Verdict by_capability(NOTHING) {
    struct vfs_cap_data all = {VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, {{~0u, 0}, {0, 0}}};
    made();
    return tried("setxattr", setxattr(PLANTED, "security.capability", &all, sizeof all, 0));
}

// The call of Linux 6.13: attributes, their size and flags are in memory.
static Verdict by_capability_at(NOTHING) {
    struct vfs_cap_data all = {VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, {{~0u, 0}, {0, 0}}};
    uint64_t arguments[2] = {(uintptr_t)&all, sizeof all};
    made();
    return tried("setxattrat", syscall(463, AT_FDCWD, PLANTED, 0, "security.capability", arguments, sizeof arguments));
}

static const char *const planted_outside = "/secret-shared/planted-here";

static Verdict nothing_setuid(void) {
    struct stat file;
    if (lstat(planted_outside, &file) < 0) return CONTAINED;
    if (file.st_mode & (S_ISUID | S_ISGID)) return escaped("mode %o, owner %u", file.st_mode, file.st_uid);
    return CONTAINED;
}

static Verdict nothing_capable(void) {
    return getxattr(planted_outside, "security.capability", NULL, 0) > 0 ? escaped("file capabilities") : CONTAINED;
}

static Verdict not_given_away(void) {
    struct stat file;
    return lstat(planted_outside, &file) == 0 && file.st_uid == CANARY_UID ? escaped("owner %u", file.st_uid) : CONTAINED;
}

static Verdict not_of_root(void) {
    struct stat file;
    return lstat(planted_outside, &file) == 0 && file.st_uid == 0 ? escaped("it belongs to root") : CONTAINED;
}

static const struct way planted_ways[] = {
    {"setuid_by_chmod", "classic docker -v", by_chmod, NULL, nothing_setuid},
    {"setuid_by_fchmod", "fchmod(2)", by_fchmod, NULL, nothing_setuid},
    {"setuid_by_fchmodat", "fchmodat(2)", by_fchmodat, NULL, nothing_setuid},
    {"setuid_by_fchmodat2", "fchmodat2, Linux 6.6", by_fchmodat2, NULL, nothing_setuid},
    {"setuid_by_open", "open(2), mode", by_open, NULL, nothing_setuid},
    {"setuid_by_openat", "openat(2), mode", by_openat, NULL, nothing_setuid},
    {"setuid_by_openat2", "openat2(2): the mode is in memory", by_openat2, NULL, nothing_setuid},
    {"setuid_by_creat", "creat(2)", by_creat, NULL, nothing_setuid},
    {"setuid_by_mknod", "mknod(2), S_IFREG", by_mknod, NULL, nothing_setuid},
    {"setuid_by_mknodat", "mknodat(2), S_IFREG", by_mknodat, NULL, nothing_setuid},
    {"setuid_by_nameless_file", "open(2), O_TMPFILE", by_nameless, NULL, nothing_setuid},
    {"setuid_by_32_bit_call", "firejail 0.9.42: by number only", by_32_bit_call, NULL, nothing_setuid},
    {"setuid_by_link", "CVE-2021-44730", by_link, NULL, nothing_setuid},
    {"setgid_by_chmod", "CVE-2018-13405", by_setgid, NULL, nothing_setuid},
    {"setgid_directory", "CVE-2018-13405", by_directory, NULL, nothing_setuid},
    {"file_capabilities_given", "setcap(8); CVE-2021-3493", by_capability, NULL, nothing_capable},
    {"file_capabilities_given_at", "setxattrat, Linux 6.13", by_capability_at, NULL, nothing_capable},
    {"file_given_away", "chown(2)", by_owner, NULL, not_given_away},
    {"file_of_root", "user_namespaces(7): uid 0 inside is uid 0 outside", by_root, NULL, not_of_root, HOST_ROOT},
};
