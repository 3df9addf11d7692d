# What is on the host in the tests of the network: servers of HTTP on another address than that of the default route and on loopback,
# and a resolver on loopback, as systemd-resolved is, which knows one name.
import socket, socketserver, threading

def serve(address, port, answer):
    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + answer)
    socketserver.TCPServer.allow_reuse_address = True
    server = socketserver.TCPServer((address, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

serve("203.0.113.5", 8000, b"another machine\n")
serve("127.0.0.1", 8001, b"the host's loopback\n")
serve("0.0.0.0", 8002, b"every address of the host\n")
resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
resolver.bind(("127.0.0.53", 53))
print("ready", flush=True)
while True:
    query, sender = resolver.recvfrom(512)
    end = query.index(b"\0", 12) + 5
    # An address for the one name, of IPv4; no answer for anything else.
    known = query[12:end] == b"\x07outside\x07example\0\0\x01\0\x01"
    answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xcb\x00\x71\x05" if known else b""
    resolver.sendto(query[:2] + b"\x81\x80\0\x01\0" + bytes([len(answer) > 0]) + b"\0\0\0\0" + query[12:end] + answer, sender)
