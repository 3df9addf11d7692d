/* Socket activation as sd_listen_fds(3) has it: answers one connection on the first socket that was passed, and tries to
   reach another by it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
	if (!pid || atoi(pid) != getpid() || !count)
		return 1;
	int connection = accept(3, NULL, NULL);
	if (connection < 0) {
		perror("accept");
		return 2;
	}
	dprintf(connection, "%s %s\n", count, names ? names : "-");
	/* As a hostile program would: a socket that listens can be taken off its address, and sent elsewhere. */
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct sockaddr_in other = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	connect(3, &none, sizeof none);
	connect(3, (struct sockaddr *)&other, sizeof other);
	dprintf(connection, "%s\n", strerror(errno));
	return 0;
}
