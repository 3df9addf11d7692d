// Network and IPC: what is not a file of the tree, and reaches the host.

static socklen_t abstract(struct sockaddr_un *address, const char *name) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    strcpy(address->sun_path + 1, name);
    return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
}

static Verdict abstract_stream(const char *name) {
    struct sockaddr_un address;
    socklen_t length = abstract(&address, name);
    return works("connect", connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, length));
}

static Verdict abstract_datagram(const char *name) {
    struct sockaddr_un address;
    socklen_t length = abstract(&address, name);
    return works("sendto", sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "x", 1, MSG_DONTWAIT, (void *)&address, length));
}

static Verdict loopback(NOTHING) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(CANARY_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return works("connect", connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address));
}

static Verdict address_shown(NOTHING) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(CANARY_ADDRESS)};
    return works("bind", bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address));
}

static Verdict sockets_listed(NOTHING) {
    // 4711 in the hexadecimal of proc(5), /proc/net/tcp.
    return contains("/proc/net/tcp", ":1267 ") ? escaped("the host's sockets are listed") : contained("not there");
}

static Verdict unix_sockets_listed(NOTHING) {
    return contains("/proc/net/unix", CANARY) ? escaped("the host's sockets are listed") : contained("not there");
}

static Verdict interface_changed(NOTHING) {
    struct ifreq request = {.ifr_name = "lo", .ifr_mtu = 65536};
    return door("SIOCSIFMTU", ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFMTU, &request));
}

static Verdict privileged_port(NOTHING) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(80)};
    return works("bind", bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address));
}

WORKS(shared_memory, shmget(CANARY_KEY, 0, 0))
WORKS(message_queue, msgget(CANARY_KEY, 0))
WORKS(semaphore, semget(CANARY_KEY, 0, 0))
WORKS(posix_queue, mq_open("/" CANARY, O_RDONLY))

static const struct way ipc_ways[] = {
    {"abstract_socket", "CVE-2020-15257", abstract_stream, CANARY},
    {"abstract_datagram_socket", "CVE-2020-15257", abstract_datagram, CANARY "-datagram"},
    {"abstract_sockets_listed", "unix(7)", unix_sockets_listed, NULL, NULL, HOST_NETWORK},
    {"loopback_service", "network_namespaces(7)", loopback, NULL, NULL, HOST_NETWORK},
    {"host_address_bound", "network_namespaces(7)", address_shown, NULL, NULL, HOST_NETWORK},
    {"network_sockets_listed", "proc_net(5)", sockets_listed, NULL, NULL, HOST_NETWORK},
    {"network_interface_changed", "netdevice(7)", interface_changed},
    {"privileged_port_bound", "ip(7)", privileged_port},
    {"shared_memory", "shmget(2)", shared_memory},
    {"message_queue", "msgget(2)", message_queue},
    {"semaphore", "semget(2)", semaphore},
    {"posix_message_queue", "mq_overview(7)", posix_queue},
};
