// Who the program is, and whom it can become.

static Verdict capability_set(const char *name) {
    int64_t set = field("/proc/self/status", name, 16);
    return set > 0 ? escaped("%s %llx", name, (unsigned long long)set) : contained("%s %llx", name, (unsigned long long)set);
}

// Without /proc.
static Verdict capabilities_set(NOTHING) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct all[2] = {{1 << CAP_CHOWN, 1 << CAP_CHOWN, 1 << CAP_CHOWN}};
    return works("capset", syscall(SYS_capset, &header, all));
}

// Executes this program again: what root gets by executing, see capabilities(7).
static Verdict capabilities_executed(NOTHING) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];
    syscall(SYS_capget, &header, sets);
    sets[0].effective = sets[0].permitted = sets[1].effective = sets[1].permitted = 0;
    syscall(SYS_capset, &header, sets);
    return execute("/escape", "capable") == RAN ? escaped("execve gave them back") : contained("execve gives none");
}

// A program whose file gives capabilities, run by somebody who has none.
static Verdict capabilities_of_file(NOTHING) {
    setresuid(65534, 65534, 65534);
    int code = execute(SHARED "/programs/capable", "capable");
    return code == RAN ? escaped("the file gave them") : contained("exit code %d", code);
}

static Verdict setuid_program(NOTHING) {
    int code = execute(SHARED "/programs/setuid", "ids");
    return code == RAN ? escaped("became uid %d", CANARY_UID) : contained("exit code %d", code);
}

static Verdict setgid_program(NOTHING) {
    int code = execute(SHARED "/programs/setgid", "ids");
    return code == RAN ? escaped("became gid %d", CANARY_UID) : contained("exit code %d", code);
}

static Verdict groups_kept(NOTHING) {
    gid_t groups[1000];
    int count = getgroups(1000, groups);
    for (int at = 0; at < count; at++)
        if (groups[at] == CANARY_UID) return escaped("the caller's group %d", CANARY_UID);
    return contained("%d groups", count);
}

static Verdict groups_taken(NOTHING) {
    gid_t group = CANARY_UID;
    return works("setgroups", setgroups(1, &group));
}

WORKS(user_changed, setresuid(CANARY_UID, CANARY_UID, CANARY_UID))
WORKS(group_changed, setresgid(CANARY_UID, CANARY_UID, CANARY_UID))
WORKS(file_system_user_changed, (setfsuid(CANARY_UID), setfsuid(-1) == CANARY_UID ? 0 : -1))

static Verdict no_new_privileges(NOTHING) {
    int set = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    return set != 1 ? escaped("no_new_privs is %d", set) : contained("set");
}

static Verdict secure_bits(NOTHING) {
    int bits = prctl(PR_GET_SECUREBITS), locks = SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    return (bits & locks) != locks || !(bits & SECBIT_NOROOT) ? escaped("securebits %x", bits) : contained("securebits %x", bits);
}

static Verdict identity_map(NOTHING) {
    unsigned inside = 1, outside = 1;
    FILE *map = fopen("/proc/self/uid_map", "re");
    while (map && fscanf(map, "%u %u %*u", &inside, &outside) == 2)
        if (outside == 0) return escaped("uid %u inside is root outside", inside);
    return map ? contained("root is not among them") : contained("no /proc");
}

// Files of root's that only their owner may change, although he has no capability.
static Verdict file_of_root_written(NOTHING) {
    return works("open", open(SHARED "/of-root", O_WRONLY));
}

static const struct way identity_ways[] = {
    {"effective_capabilities", "capabilities(7)", capability_set, "CapEff:"},
    {"permitted_capabilities", "capabilities(7)", capability_set, "CapPrm:"},
    {"inheritable_capabilities", "CVE-2022-29162, CVE-2022-27650", capability_set, "CapInh:"},
    {"bounding_capabilities", "capabilities(7): given back by execve", capability_set, "CapBnd:"},
    {"ambient_capabilities", "capabilities(7)", capability_set, "CapAmb:"},
    {"capabilities_set", "capset(2)", capabilities_set},
    {"capabilities_by_execve", "CVE-2022-29162: P' = I | bset for uid 0", capabilities_executed},
    {"capabilities_by_file", "CVE-2021-44730", capabilities_of_file},
    {"setuid_program", "jailkit man page: a hard link to su", setuid_program},
    {"setgid_program", "execve(2)", setgid_program},
    {"supplementary_groups", "CVE-2018-7169; youki exec", groups_kept, NULL, NULL, OWN_GROUPS},
    {"groups_taken", "CVE-2014-8989", groups_taken},
    {"user_changed", "CVE-2026-30892", user_changed},
    {"group_changed", "setresgid(2)", group_changed},
    {"file_system_user_changed", "setfsuid(2)", file_system_user_changed},
    {"no_new_privileges", "bwrap #679", no_new_privileges},
    {"secure_bits", "capabilities(7), securebits", secure_bits},
    {"identity_map", "user_namespaces(7)", identity_map, NULL, NULL, HOST_ROOT},
    {"file_of_root_written", "classic docker -v", file_of_root_written, NULL, NULL, HOST_ROOT},
};
