/* config.c - the table of all options; their values are read and printed by config_value.c. */
#include "base/config.h"

#include <string.h>

/* ---------------------------------------------------------------- the table ---- */

/* clang-format off */
#define YEAR    31536000.0
#define MIB     1048576.0
#define GIB     1073741824.0
#define UINT_32 4294967295.0

#define FIELD(type, name, group, argument, initial, min, max, help)                                \
    {#name, 0, SPRIG_OPTION_##type, group, argument, initial, min, max, NULL,                      \
     offsetof(struct sprig_config, name), help}
#define SECONDS(name, group, initial, help)                                                        \
    FIELD(SECONDS, name, group, "SECONDS", initial, 0, YEAR, help)
#define PLACK(name, letter, group, argument, initial, help)                                        \
    {#name, letter, SPRIG_OPTION_PLACK, group, argument, initial, 0, 0, NULL, 0, help}

static const struct sprig_option options[] = {
#define G "The application"
    PLACK(app, 'a', G, "FILE", "app.psgi",
          "The application's file; the first plain argument is the same."),
    PLACK(eval, 'e', G, "CODE", NULL,
          "Code of the application, in place of or around a file; Plack::Builder is loaded."),
    PLACK(include, 'I', G, "DIR", NULL, "Looks for modules there first; may be repeated."),
    PLACK(module, 'M', G, "MODULE", NULL,
          "Loads the module before the application; may be repeated."),
    PLACK(env, 'E', G, "NAME", "deployment",
          "The environment (PLACK_ENV); development adds Lint, StackTrace and AccessLog."),
    PLACK(default_middleware, 0, G, NULL, "1", "Whether the environment development adds them."),
    PLACK(path, 0, G, "PATH", NULL, "Mounts the application at this path."),
    PLACK(pagi, 0, G, NULL, "0", "The application is one of PAGI, whatever its file is called."),
    PLACK(mount, 0, G, "PATH=FILE", NULL,
          "Serves another application, PSGI or PAGI, below this path; may be repeated."),
    PLACK(harakiri, 0, G, NULL, "0",
          "Whether the application may end the server behind a response (psgix.harakiri)."),
    PLACK(reload, 'r', G, NULL, "0", "Starts anew when the application's file or lib changes."),
    PLACK(Reload, 'R', G, "DIRS", NULL,
          "Starts anew when something changes there, too; separated by commas; may be repeated."),
    PLACK(loader, 'L', G, "LOADER", NULL,
          "Loads the application by Plack::Loader::LOADER: Delayed, Shotgun, Restarter or other."),
    FIELD(PATH, access_log, G, "FILE", "", 0, 4000,
          "Appends a line for each request to this file; - is the standard output."),
    FIELD(STRING, access_log_format, G, "FORMAT", "", 0, 2000,
          "What it says: combined (the default), common, short, json, or directives of Apache's."),
    FIELD(PATH, error_log, G, "FILE", "", 0, 4000,
          "Messages and what the application prints on STDERR go to this file."),
    {"error_log_format", 0, SPRIG_OPTION_CHOICE, G, "FORMAT", "text", 0, 0, "text|json",
          offsetof(struct sprig_config, error_log_format), "How they look: text or json."},
    {"log_level", 0, SPRIG_OPTION_CHOICE, G, "LEVEL", "info", 0, 0, "debug|info|warn|error",
          offsetof(struct sprig_config, log_level),
     "The least important messages that are wanted: debug, info, warn or error."},
    {"request_id", 0, SPRIG_OPTION_CHOICE, G, "HOW", "off", 0, 0, "off|trust|make",
          offsetof(struct sprig_config, request_id),
     "Whether requests have an id: off, trust (that of a trusted proxy, if it sends one) or make."},
    FIELD(STRING, request_id_header, G, "NAME", "", 0, 100,
          "Sends the id in this field of each response."),
    FIELD(BYTES, log_buffer_bytes, G, "BYTES", "1M", 4096, GIB,
          "Lines of a log that nobody reads wait in memory up to this; the rest is lost."),
#undef G
#define G "Configuration"
    FIELD(PATH, config, G, "FILE", "", 0, 4000,
          "Reads options from this file; those of the command line win."),
    PLACK(check, 0, G, NULL, NULL,
          "Reads all options, loads the application, says what would run, and ends."),
    PLACK(print_config, 0, G, NULL, NULL,
          "Prints the options as a file that --config reads, each with its origin."),
#undef G
#define G "Processes"
    {"workers", 0, SPRIG_OPTION_COUNT, G, "N", "1", 1, 1000, "auto",
          offsetof(struct sprig_config, workers),
     "Processes that serve; from 2 on a master starts and watches them; auto: one for each CPU."},
    FIELD(BOOL, master, G, NULL, "0", 0, 1,
          "Whether a single worker has a master, too, by which it is watched and reloaded."),
    FIELD(COUNT, workers_limit, G, "N", "0", 0, 1000,
          "So many workers may TTIN make of them; 0 is four times as many as there are."),
    FIELD(BOOL, preload_app, G, NULL, "0", 0, 1,
          "Loads the application once, in the master, in place of once in each worker."),
    FIELD(COUNT, max_requests, G, "N", "0", 0, UINT_32,
          "Requests after which a worker is replaced, and up to a tenth more; 0 is no limit."),
    FIELD(BYTES, max_rss, G, "BYTES", "0", 0, MIB * GIB,
          "Memory (RSS) of a worker at which it is replaced, or up to a tenth less; 0 is none."),
    SECONDS(max_lifetime, G, "0",
            "Age of a worker at which it is replaced, and up to a tenth more; 0 is none."),
    SECONDS(start_timeout, G, "60", "For a worker to load the application; 0 is none."),
    FIELD(STRING, probe, G, "PATH", "", 0, 1000,
          "A new worker has to answer a GET of this path before it serves."),
    FIELD(PATH, pid, G, "FILE", "", 0, 1000, "Writes the number of the process to this file."),
    {"daemonize", 'D', SPRIG_OPTION_BOOL, G, NULL, "0", 0, 1, NULL,
          offsetof(struct sprig_config, daemonize), "Runs in the background, without a terminal."},
#undef G
#define G "Development"
    FIELD(BOOL, dev, G, NULL, "0", 0, 1,
          "Reloads what has changed and shows errors in the browser; serves this machine only."),
    FIELD(STRING, dev_hosts, G, "HOSTS", "", 0, 4000,
          "Names that --dev answers besides localhost: app.test,*.app.test, for example."),
    FIELD(PATHS, watch, G, "PATTERN", "", 0, 16000,
          "Files besides the loaded ones, for --dev: templates/**, say; may be repeated."),
    FIELD(BOOL, live_reload, G, NULL, "1", 0, 1,
          "Whether open pages load themselves again then (--dev)."),
#undef G
#define G "Looking into it"
    FIELD(STRING, admin, G, "ADDRESS", "", 0, 300,
          "Metrics, health and sprig ctl: unix:PATH or a loopback HOST:PORT."),
    FIELD(PATH, admin_token_file, G, "FILE", "", 0, 1000,
          "A file with a token that clients must send; allows other addresses, too."),
    SECONDS(block_warning, G, "1",
            "Code that keeps the event loop for longer is logged with its line; 0 is never."),
    SECONDS(block_timeout, G, "0",
            "Ends a process whose event loop is kept for longer; 0 is never."),
#undef G
#define G "Listening"
    PLACK(host, 'o', G, "HOST", NULL, "The address to listen on; all IPv4 addresses if not given."),
    PLACK(port, 'p', G, "PORT", "5000", "The port to listen on; 0 is any free one."),
    PLACK(listen, 'l', G, "ADDRESS", NULL,
          "HOST:PORT, PORT, [IPV6]:PORT, unix:PATH or @NAME; may be repeated."),
    PLACK(socket, 'S', G, "PATH", NULL, "Listens on a unix socket."),
    FIELD(COUNT, backlog, G, "N", "0", 0, 65535,
          "Connections that may wait to be accepted; 0 is as many as the system allows."),
    FIELD(STRING, socket_mode, G, "MODE", "", 0, 4,
          "Mode of unix sockets, in octal; if not given, the umask decides."),
    FIELD(STRING, socket_user, G, "USER", "", 0, 100,
          "Owner of unix sockets; if not given, the user that the server becomes."),
    FIELD(STRING, socket_group, G, "GROUP", "", 0, 100,
          "Group of unix sockets; if not given, that of their owner."),
    FIELD(STRING, user, G, "USER", "", 0, 100,
          "Becomes this user, by name or number, when all addresses are bound."),
    FIELD(STRING, group, G, "GROUP", "", 0, 100,
          "Becomes this group; the user's own if only that is given."),
    FIELD(STRING, umask, G, "MASK", "", 0, 4, "Sets the umask, in octal."),
    FIELD(BOOL, reuseport, G, NULL, "0", 0, 1,
          "One listening socket for each worker (SO_REUSEPORT), among which the kernel chooses."),
    FIELD(BOOL, no_delay, G, NULL, "1", 0, 1, "Sends small pieces at once (TCP_NODELAY)."),
#undef G
#define G "TLS"
    FIELD(PATHS, tls_cert, G, "FILE", "", 0, 16000,
          "Certificate and those that signed it (PEM); several: repeated, or with commas."),
    FIELD(PATHS, tls_key, G, "FILE", "", 0, 16000,
          "Its key (PEM), if that is not in the same file; in any order if there are several."),
    FIELD(PATH, tls_key_password_file, G, "FILE", "", 0, 1000,
          "The first line of this file is the password of keys that are encrypted."),
    FIELD(BOOL, tls_reject_unknown_names, G, NULL, "0", 0, 1,
          "Whether clients that ask for none of the names get an alert."),
    {"tls_min_version", 0, SPRIG_OPTION_CHOICE, G, "VERSION", "1.2", 0, 0, "1.2|1.3",
          offsetof(struct sprig_config, tls_min_version),
     "The oldest TLS version that is accepted."},
    FIELD(STRING, tls_ciphers, G, "LIST", "", 0, 2000,
          "Ciphers of TLS 1.2 as OpenSSL names them; if not given, those with forward secrecy."),
    FIELD(STRING, tls_ciphersuites, G, "LIST", "", 0, 1000, "The same for TLS 1.3."),
    FIELD(STRING, tls_groups, G, "LIST", "", 0, 1000, "Groups of the key exchange."),
    SECONDS(tls_ticket_lifetime, G, "43200",
          "How long a client may resume a session by its ticket; 0 is never."),
    FIELD(PATHS, tls_ocsp, G, "FILE", "", 0, 16000,
          "Response of an OCSP responder (DER) to be sent along with the certificate."),
    FIELD(PATH, tls_client_ca, G, "FILE", "", 0, 1000,
          "Authorities for certificates of clients (PEM)."),
    {"tls_verify", 0, SPRIG_OPTION_CHOICE, G, "MODE", "none", 0, 0, "none|optional|required",
          offsetof(struct sprig_config, tls_verify), "Whether clients have to show a certificate."},
    FIELD(PATH, tls_crl, G, "FILE", "", 0, 1000, "Revoked certificates of clients (PEM)."),
    FIELD(BOOL, tls_env, G, NULL, "0", 0, 1,
          "Whether applications get SSL_PROTOCOL, SSL_CIPHER, SSL_CLIENT_CERT and the like."),
    SECONDS(tls_handshake_timeout, G, "10", "For a whole handshake; 0 is none."),
    FIELD(COUNT, tls_handshakes_per_turn, G, "N", "8", 0, 1000000,
          "Handshakes that go on before others get their turn; 0 is no limit."),
    SECONDS(tls_reload_interval, G, "60",
            "How often changed certificates are looked for, at a handshake; 0 is never."),
    FIELD(BOOL, tls_redirect, G, NULL, "0", 0, 1,
          "Whether plain HTTP on an address with TLS gets 308 to https in place of 400."),
    FIELD(PATH, acme_dir, G, "DIR", "", 0, 1000,
          "Where addresses with ,redirect find /.well-known/acme-challenge/."),
#undef G
#define G "HTTP/2"
    FIELD(BOOL, http2, G, NULL, "1", 0, 1, "Speaks HTTP/2 over TLS if the client wants it."),
    FIELD(COUNT, http2_max_streams, G, "N", "100", 1, 10000,
          "Requests of one connection at a time."),
    FIELD(BYTES32, http2_stream_window, G, "BYTES", "256K", 65535, GIB,
          "What a client may send of one body before the application has taken it."),
    FIELD(BYTES32, http2_connection_window, G, "BYTES", "1M", 65535, GIB,
          "The same for all bodies of a connection."),
    {"http2_websocket", 0, SPRIG_OPTION_CHOICE, G, "MODE", "auto", 0, 0, "auto|on|off",
          offsetof(struct sprig_config, http2_websocket),
     "Whether clients may open WebSockets over it; auto: once the application has had one."},
    FIELD(COUNT, http2_max_resets, G, "N", "300", 0, 1000000000,
          "Requests that a client may break off before their answer; a tenth more each second."),
    FIELD(COUNT, http2_max_idle_frames, G, "N", "10000", 0, 1000000000,
          "Frames without effect, such as PING; a tenth more each second."),
#undef G
#define G "Limits of requests"
    FIELD(BYTES32, max_request_line, G, "BYTES", "8K", 0, MIB,
          "Longest request line; beyond: 414; 0 is no limit."),
    FIELD(BYTES32, max_header_bytes, G, "BYTES", "64K", 0, 16 * MIB,
          "All header lines together; beyond: 431; 0 is no limit."),
    FIELD(COUNT, max_headers, G, "N", "100", 0, 100000,
          "Number of header lines; beyond: 431; 0 is no limit."),
    FIELD(BYTES, max_body_bytes, G, "BYTES", "128M", 0, MIB * GIB,
          "Longest request body; beyond: 413; 0 is no limit."),
    FIELD(BYTES, body_buffer_bytes, G, "BYTES", "64K", 0, GIB,
          "Longer bodies go to a temporary file."),
    FIELD(STRING, streaming_input, G, "PATH", "", 0, 1000,
          "Below this path applications get request bodies while they come."),
    FIELD(PATH, temp_dir, G, "DIR", "", 0, 1000,
          "Folder of temporary files; $TMPDIR or /tmp if not given."),
#undef G
#define G "Deadlines (0 is none)"
    SECONDS(header_timeout, G, "15", "For a whole request head; beyond: 408."),
    SECONDS(body_timeout, G, "60", "Longest silence within a request body; beyond: 408."),
    FIELD(COUNT, min_body_rate, G, "N", "100", 0, GIB,
          "Slowest average of a request body in bytes a second; 0 is any."),
    SECONDS(write_timeout, G, "60", "Longest time without progress while sending."),
    SECONDS(keepalive_timeout, G, "65", "Longest wait for the next request of a connection."),
    SECONDS(graceful_timeout, G, "30", "For the requests in work when the server is told to end."),
    SECONDS(drain_delay, G, "0",
            "After TERM connections are still accepted for so long, while /readyz says no."),
#undef G
#define G "Overload"
    FIELD(COUNT, max_connections, G, "N", "0", 0, 10000000,
          "Open connections; beyond: 503; 0 is what the limit of descriptors leaves room for."),
    FIELD(COUNT, max_connections_per_ip, G, "N", "0", 0, 10000000,
          "Open connections of one address; beyond: 503; 0 is no limit."),
    FIELD(COUNT, max_requests_in_flight, G, "N", "0", 0, 10000000,
          "Requests in work at one time; the others wait; 0 is no limit."),
    SECONDS(queue_timeout, G, "30", "How long a request may wait for its turn; then 503."),
#undef G
#define G "Proxies"
    FIELD(STRING, trusted_proxies, G, "NETWORKS", "", 0, 4000,
          "Addresses of proxies that are believed, such as 127.0.0.1,10.0.0.0/8,unix, or how "
          "many there are."),
    {"proxy_headers", 0, SPRIG_OPTION_CHOICE, G, "KIND", "x-forwarded", 0, 0,
          "x-forwarded|forwarded|none", offsetof(struct sprig_config, proxy_headers),
     "Where they name the client: in X-Forwarded-For and its like, or in Forwarded."},
#undef G
#define G "Connections and output"
    FIELD(BOOL, keepalive, G, NULL, "1", 0, 1, "Several requests on one connection."),
    FIELD(BOOL, informational, G, NULL, "1", 0, 1,
          "Whether the application may send interim responses (psgix.informational)."),
    FIELD(COUNT, max_keepalive_requests, G, "N", "0", 0, UINT_32,
          "Requests on one connection; 0 is no limit."),
    FIELD(COUNT, max_requests_per_turn, G, "N", "32", 0, 1000000,
          "Requests of one connection before the others get their turn; 0 is no limit."),
    FIELD(BYTES, high_water_bytes, G, "BYTES", "64K", 1, GIB,
          "Above this much unsent output a producer is told to wait."),
    FIELD(BYTES, low_water_bytes, G, "BYTES", "16K", 0, GIB,
          "At or below this much it is told to go on."),
    FIELD(BYTES, output_buffer_bytes, G, "BYTES", "1M", 0, GIB,
          "Unsent output of one client beyond this goes to a temporary file."),
    FIELD(BYTES, max_output_bytes, G, "BYTES", "0", 0, MIB * GIB,
          "A response with more unsent output than this is aborted; 0 is no limit."),
    FIELD(BOOL, chunked_responses, G, NULL, "1", 0, 1,
          "Bodies of unknown length are sent in chunks; without, the connection ends them."),
    FIELD(STRING, server_header, G, "TEXT", "", 0, 200,
          "Value of the Server header; none is sent if not given."),
#undef G
#define G "Channels"
    FIELD(BYTES, channel_bytes, G, "BYTES", "16M", 65536, 64 * GIB,
          "Memory for the messages of all channels, shared by all workers."),
    FIELD(BYTES, channel_queue_bytes, G, "BYTES", "256K", 0, GIB,
          "What may wait for a member of a channel that does not read."),
    {"channel_slow", 0, SPRIG_OPTION_CHOICE, G, "WHAT", "close", 0, 0,
          "close|drop|spill", offsetof(struct sprig_config, channel_slow),
     "Beyond that: close ends its connection, drop leaves messages out, spill stores them."},
#undef G
#define G "WebSocket"
    FIELD(BYTES, websocket_max_message_bytes, G, "BYTES", "1M", 0, GIB,
          "Longest message, after decompression; beyond: close 1009; 0 is no limit."),
    FIELD(COUNT, websocket_max_fragments, G, "N", "1024", 0, UINT_32,
          "Fragments of a message; beyond: close 1008; 0 is no limit."),
    SECONDS(websocket_ping_interval, G, "20",
            "Silence after which a client is asked whether it is there; 0 is never."),
    SECONDS(websocket_ping_timeout, G, "20", "For its answer; beyond, it is gone; 0 is any time."),
    SECONDS(websocket_close_timeout, G, "5", "For the answer to a close; 0 is any time."),
    FIELD(BYTES, websocket_queue_bytes, G, "BYTES", "1M", 0, MIB * GIB,
          "Unsent messages of one client; what is beyond follows the policy; 0 is no limit."),
    {"websocket_queue_policy", 0, SPRIG_OPTION_CHOICE, G, "POLICY", "drop", 0, 0,
          "drop|close|spill", offsetof(struct sprig_config, websocket_queue_policy),
     "What becomes of it: drop the message, close the socket (1013), or keep it in a file."},
    {"websocket_deflate", 0, SPRIG_OPTION_CHOICE, G, "MODE", "shared", 0, 0,
          "off|shared|own", offsetof(struct sprig_config, websocket_deflate),
     "Compression: none, without memory of earlier messages, or with a window of its own."},
    FIELD(BYTES32, websocket_deflate_min_bytes, G, "BYTES", "128", 0, GIB,
          "Shorter messages are not compressed."),
    FIELD(COUNT, websocket_deflate_window_bits, G, "N", "12", 9, 15,
          "Size of the windows with own: 2 to the power of this."),
    FIELD(COUNT, websocket_deflate_memory_level, G, "N", "5", 1, 9,
          "Memory of a compressor with own, as zlib counts it."),
    FIELD(STRING, websocket_origins, G, "ORIGINS", "", 0, 4000,
          "Pages that may open one: https://example.org, *.example.org, same; all if not given."),
#undef G
#define G "The event loop"
    {"nested", 0, SPRIG_OPTION_CHOICE, G, "MODE", "hold", 0, 0,
          "hold|dispatch|croak", offsetof(struct sprig_config, nested),
     "What new requests get while an application blocks in a callback: hold, dispatch or croak."},
    FIELD(COUNT, nested_depth, G, "N", "32", 1, 1000, "How deep such waits may be nested."),
    FIELD(BOOL, die_on_disconnect, G, NULL, "0", 0, 1,
          "The first write to a client that left dies."),
#undef G
#define G "Information"
    PLACK(help, 'h', G, NULL, NULL,
          "Prints the options that most need, or what the manual says of the one that follows."),
    PLACK(help_all, 0, G, NULL, NULL, "Prints all options."),
    PLACK(version, 'v', G, NULL, NULL, "Prints the versions of sprig and of its libraries."),
    {"completion", 0, SPRIG_OPTION_PLACK, G, "SHELL", NULL, 0, 0, "bash|zsh|fish", 0,
          "Prints what bash, zsh or fish need to complete the options of sprig."},
#undef G
    PLACK(server, 's', NULL, "SERVER", NULL,
          "this program is the server; to choose one use plackup -s"),
};
/* clang-format on */

#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

const struct sprig_option *sprig_options(size_t *n)
{
    *n = N_OPTIONS;
    return options;
}

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
            return false;
    return *a == *b;
}

const struct sprig_option *sprig_option_find(const char *name)
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (same_name(options[i].name, name))
            return &options[i];
    return NULL;
}
