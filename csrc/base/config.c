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
          "The application's file; the same as the first plain argument."),
    PLACK(eval, 'e', G, "CODE", NULL,
          "Perl code that returns the application, or wraps that of a file in Plack::Builder."),
    PLACK(include, 'I', G, "DIR", NULL,
          "Adds a folder to the front of perl's module search path; repeatable."),
    PLACK(module, 'M', G, "MODULE", NULL,
          "Loads a module before the application, like perl -M; repeatable."),
    PLACK(env, 'E', G, "NAME", "deployment",
          "The environment (PLACK_ENV); development adds Lint, StackTrace and AccessLog."),
    PLACK(default_middleware, 0, G, NULL, "1",
          "Whether the environment development adds this middleware."),
    PLACK(path, 0, G, "PATH", NULL, "Mounts the application at this path."),
    PLACK(pagi, 0, G, NULL, "0", "The application is one of PAGI, whatever its file is called."),
    PLACK(mount, 0, G, "PATH=FILE", NULL,
          "Serves another application, PSGI or PAGI, below this path; may be repeated."),
    PLACK(harakiri, 0, G, NULL, "0",
          "Whether the application may end the server after a response (psgix.harakiri)."),
    PLACK(reload, 'r', G, NULL, "0",
          "Restarts the server when the application's file or lib changes."),
    PLACK(Reload, 'R', G, "DIRS", NULL,
          "The same, and also watches these files or folders (comma-separated); repeatable."),
    PLACK(loader, 'L', G, "LOADER", NULL,
          "Loads the application with Plack::Loader::LOADER: Delayed, Shotgun, Restarter, ..."),
    FIELD(PATH, access_log, G, "FILE", "", 0, 4000,
          "Appends a line for each request to this file; - is standard output."),
    FIELD(STRING, access_log_format, G, "FORMAT", "", 0, 2000,
          "Format of its lines: combined (the default), common, short, json, or directives."),
    FIELD(PATH, error_log, G, "FILE", "", 0, 4000,
          "Writes messages, and what the application prints to STDERR, to this file."),
    {"error_log_format", 0, SPRIG_OPTION_CHOICE, G, "FORMAT", "text", 0, 0, "text|json",
          offsetof(struct sprig_config, error_log_format),
          "Format of these messages: text or json."},
    {"log_level", 0, SPRIG_OPTION_CHOICE, G, "LEVEL", "info", 0, 0, "debug|info|warn|error",
          offsetof(struct sprig_config, log_level),
     "The least important messages to log: debug, info, warn or error."},
    {"request_id", 0, SPRIG_OPTION_CHOICE, G, "HOW", "off", 0, 0, "off|trust|make",
          offsetof(struct sprig_config, request_id),
     "Gives each request an id: off, make, or trust (a trusted proxy's id, if there is one)."},
    FIELD(STRING, request_id_header, G, "NAME", "", 0, 100,
          "Sends the id in this response header."),
    FIELD(BYTES, log_buffer_bytes, G, "BYTES", "1M", 4096, GIB,
          "Log lines that nobody reads wait in memory up to this size; more are dropped."),
#undef G
#define G "Configuration"
    FIELD(PATH, config, G, "FILE", "", 0, 4000,
          "Reads options from this file; options on the command line win."),
    PLACK(check, 0, G, NULL, NULL,
          "Checks the options, loads the application, prints what would run, and ends."),
    PLACK(print_config, 0, G, NULL, NULL,
          "Prints all options in the format of a --config file, with the origin of each."),
#undef G
#define G "Processes"
    {"workers", 0, SPRIG_OPTION_COUNT, G, "N", "1", 1, 1000, "auto",
          offsetof(struct sprig_config, workers),
     "Processes that serve; with 2 or more, a master manages them. auto: one per CPU."},
    FIELD(BOOL, master, G, NULL, "0", 0, 1,
          "Runs a single worker under a master, too, which restarts and reloads it."),
    FIELD(COUNT, workers_limit, G, "N", "0", 0, 1000,
          "The most workers that TTIN can create; 0 is four times --workers."),
    FIELD(BOOL, preload_app, G, NULL, "0", 0, 1,
          "Loads the application once, in the master, instead of in each worker."),
    FIELD(COUNT, max_requests, G, "N", "0", 0, UINT_32,
          "Replaces a worker after this many requests, plus up to a tenth; 0 is no limit."),
    FIELD(BYTES, max_rss, G, "BYTES", "0", 0, MIB * GIB,
          "Replaces a worker at this memory size (RSS), or up to a tenth below; 0 is no limit."),
    SECONDS(max_lifetime, G, "0",
            "Replaces a worker at this age, or up to a tenth later; 0 is no limit."),
    SECONDS(start_timeout, G, "60",
          "How long a worker may take to load the application; 0 is no limit."),
    FIELD(STRING, probe, G, "PATH", "", 0, 1000,
          "A new worker must answer a GET of this path before it serves."),
    FIELD(PATH, pid, G, "FILE", "", 0, 1000, "Writes the process id to this file."),
    {"daemonize", 'D', SPRIG_OPTION_BOOL, G, NULL, "0", 0, 1, NULL,
          offsetof(struct sprig_config, daemonize), "Runs in the background, without a terminal."},
#undef G
#define G "Development"
    FIELD(BOOL, dev, G, NULL, "0", 0, 1,
          "Development: reloads changed code, shows errors in the browser; this machine only."),
    FIELD(STRING, dev_hosts, G, "HOSTS", "", 0, 4000,
          "Host names that --dev answers besides localhost, such as app.test,*.app.test."),
    FIELD(PATHS, watch, G, "PATTERN", "", 0, 16000,
          "Also reloads when these files change (--dev), such as 'templates/**'; repeatable."),
    FIELD(BOOL, live_reload, G, NULL, "1", 0, 1,
          "Whether open pages in the browser reload, too (--dev)."),
#undef G
#define G "Monitoring"
    FIELD(STRING, admin, G, "ADDRESS", "", 0, 300,
          "Serves metrics, health checks and sprig ctl at unix:PATH or a loopback HOST:PORT."),
    FIELD(PATH, admin_token_file, G, "FILE", "", 0, 1000,
          "A file with the token that admin clients must send; allows other addresses."),
    SECONDS(block_warning, G, "1",
            "Logs the line of code that blocks the event loop for longer; 0 is never."),
    SECONDS(block_timeout, G, "0",
            "Ends a process whose event loop is blocked for longer; 0 is never."),
#undef G
#define G "Listening"
    PLACK(host, 'o', G, "HOST", NULL, "The address to listen on; default: all IPv4 addresses."),
    PLACK(port, 'p', G, "PORT", "5000", "The port to listen on; 0 is any free one."),
    PLACK(listen, 'l', G, "ADDRESS", NULL,
          "*:PORT, PORT (IPv4), HOST:PORT, [IPV6]:PORT, unix:PATH or @NAME; repeatable."),
    PLACK(socket, 'S', G, "PATH", NULL, "Listens on a unix socket."),
    FIELD(COUNT, backlog, G, "N", "0", 0, 65535,
          "Connections that may wait to be accepted; 0 is the system's limit."),
    FIELD(STRING, socket_mode, G, "MODE", "", 0, 4,
          "Mode of unix sockets, in octal; default: according to the umask."),
    FIELD(STRING, socket_user, G, "USER", "", 0, 100,
          "Owner of unix sockets; default: the user that the server runs as."),
    FIELD(STRING, socket_group, G, "GROUP", "", 0, 100,
          "Group of unix sockets; default: that of their owner."),
    FIELD(STRING, user, G, "USER", "", 0, 100,
          "Becomes this user (name or number) once all addresses are bound."),
    FIELD(STRING, group, G, "GROUP", "", 0, 100,
          "Becomes this group; default: the user's own."),
    FIELD(STRING, umask, G, "MASK", "", 0, 4, "Sets the umask, in octal."),
    FIELD(BOOL, reuseport, G, NULL, "0", 0, 1,
          "Gives each worker its own listening socket (SO_REUSEPORT)."),
    FIELD(BOOL, no_delay, G, NULL, "1", 0, 1, "Sends small packets at once (TCP_NODELAY)."),
#undef G
#define G "TLS"
    FIELD(PATHS, tls_cert, G, "FILE", "", 0, 16000,
          "Certificate and its chain (PEM); several: repeat it, or separate with commas."),
    FIELD(PATHS, tls_key, G, "FILE", "", 0, 16000,
          "Private key (PEM), if it is not in the same file; several in any order."),
    FIELD(PATH, tls_key_password_file, G, "FILE", "", 0, 1000,
          "A file whose first line is the password of encrypted keys."),
    FIELD(BOOL, tls_reject_unknown_names, G, NULL, "0", 0, 1,
          "Refuses handshakes for names that no certificate has."),
    {"tls_min_version", 0, SPRIG_OPTION_CHOICE, G, "VERSION", "1.2", 0, 0, "1.2|1.3",
          offsetof(struct sprig_config, tls_min_version),
     "The oldest TLS version to accept."},
    FIELD(STRING, tls_ciphers, G, "LIST", "", 0, 2000,
          "TLS 1.2 ciphers, in OpenSSL's syntax; default: those with forward secrecy."),
    FIELD(STRING, tls_ciphersuites, G, "LIST", "", 0, 1000,
          "TLS 1.3 cipher suites, in OpenSSL's syntax."),
    FIELD(STRING, tls_groups, G, "LIST", "", 0, 1000, "Key exchange groups, in OpenSSL's syntax."),
    SECONDS(tls_ticket_lifetime, G, "43200",
          "How long a client may resume a session with its ticket; 0 is never."),
    FIELD(PATHS, tls_ocsp, G, "FILE", "", 0, 16000,
          "OCSP response (DER) to staple to the certificate; several as with --tls-cert."),
    FIELD(PATH, tls_client_ca, G, "FILE", "", 0, 1000,
          "Certificate authorities for client certificates (PEM)."),
    {"tls_verify", 0, SPRIG_OPTION_CHOICE, G, "MODE", "none", 0, 0, "none|optional|required",
          offsetof(struct sprig_config, tls_verify), "Whether clients must present a certificate."},
    FIELD(PATH, tls_crl, G, "FILE", "", 0, 1000,
          "Certificate revocation list for client certificates (PEM)."),
    FIELD(BOOL, tls_env, G, NULL, "0", 0, 1,
          "Gives the application SSL_PROTOCOL, SSL_CIPHER, SSL_CLIENT_CERT and others."),
    SECONDS(tls_handshake_timeout, G, "10", "How long a handshake may take; 0 is no limit."),
    FIELD(COUNT, tls_handshakes_per_turn, G, "N", "8", 0, 1000000,
          "Handshakes in a row before other work gets its turn; 0 is no limit."),
    SECONDS(tls_reload_interval, G, "60",
            "How often to check for changed certificates, at a handshake; 0 is never."),
    FIELD(BOOL, tls_redirect, G, NULL, "0", 0, 1,
          "Answers plain HTTP on a TLS address with a redirect (308) instead of 400."),
    FIELD(PATH, acme_dir, G, "DIR", "", 0, 1000,
          "Where ,redirect addresses look for /.well-known/acme-challenge/ files."),
#undef G
#define G "HTTP/2"
    FIELD(BOOL, http2, G, NULL, "1", 0, 1, "Speaks HTTP/2 over TLS with clients that ask for it."),
    FIELD(COUNT, http2_max_streams, G, "N", "100", 1, 10000,
          "Concurrent requests on one connection."),
    FIELD(BYTES32, http2_stream_window, G, "BYTES", "256K", 65535, GIB,
          "How much of one body a client may send before the application takes it."),
    FIELD(BYTES32, http2_connection_window, G, "BYTES", "1M", 65535, GIB,
          "The same for all bodies of a connection together."),
    {"http2_websocket", 0, SPRIG_OPTION_CHOICE, G, "MODE", "auto", 0, 0, "auto|on|off",
          offsetof(struct sprig_config, http2_websocket),
     "WebSockets over HTTP/2; auto: once the application has accepted one."},
    FIELD(COUNT, http2_max_resets, G, "N", "300", 0, 1000000000,
          "Requests that a client may cancel before the answer; regains a tenth each second."),
    FIELD(COUNT, http2_max_idle_frames, G, "N", "10000", 0, 1000000000,
          "Frames without effect, such as PING; regains a tenth each second."),
#undef G
#define G "Request limits"
    FIELD(BYTES32, max_request_line, G, "BYTES", "8K", 0, MIB,
          "Longest request line; beyond: 414; 0 is no limit."),
    FIELD(BYTES32, max_header_bytes, G, "BYTES", "64K", 0, 16 * MIB,
          "Total size of the request headers; beyond: 431; 0 is no limit."),
    FIELD(COUNT, max_headers, G, "N", "100", 0, 100000,
          "Number of request headers; beyond: 431; 0 is no limit."),
    FIELD(BYTES, max_body_bytes, G, "BYTES", "128M", 0, MIB * GIB,
          "Largest request body; beyond: 413; 0 is no limit."),
    FIELD(BYTES, body_buffer_bytes, G, "BYTES", "64K", 0, GIB,
          "Larger request bodies go to a temporary file."),
    FIELD(STRING, streaming_input, G, "PATH", "", 0, 1000,
          "Below this path, the application gets request bodies while they arrive."),
    FIELD(PATH, temp_dir, G, "DIR", "", 0, 1000,
          "Folder for temporary files; default: $TMPDIR or /tmp."),
#undef G
#define G "Deadlines (0 is none)"
    SECONDS(header_timeout, G, "15", "For the whole request head; beyond: 408."),
    SECONDS(body_timeout, G, "60", "Longest pause within a request body; beyond: 408."),
    FIELD(COUNT, min_body_rate, G, "N", "100", 0, GIB,
          "Lowest average rate of a request body, in bytes per second; 0 is any."),
    SECONDS(write_timeout, G, "60", "Longest time without progress while sending a response."),
    SECONDS(keepalive_timeout, G, "65", "How long an idle connection stays open."),
    SECONDS(graceful_timeout, G, "30",
          "How long current requests may take once the server is told to end."),
    SECONDS(drain_delay, G, "0",
            "How long to accept connections after TERM, while /readyz answers 503."),
#undef G
#define G "Overload"
    FIELD(COUNT, max_connections, G, "N", "0", 0, 10000000,
          "Open connections per worker; beyond: 503; 0: by the descriptor limit."),
    FIELD(COUNT, max_connections_per_ip, G, "N", "0", 0, 10000000,
          "Open connections per client and worker; beyond: 503; 0 is no limit."),
    FIELD(COUNT, max_requests_in_flight, G, "N", "0", 0, 10000000,
          "Requests at a time in the application, per worker; others wait; 0 is no limit."),
    SECONDS(queue_timeout, G, "30", "How long a request may wait for its turn; beyond: 503."),
#undef G
#define G "Proxies"
    FIELD(STRING, trusted_proxies, G, "NETWORKS", "", 0, 4000,
          "Proxies to trust, such as 127.0.0.1,10.0.0.0/8,unix, or the number of proxies."),
    {"proxy_headers", 0, SPRIG_OPTION_CHOICE, G, "KIND", "x-forwarded", 0, 0,
          "x-forwarded|forwarded|none", offsetof(struct sprig_config, proxy_headers),
     "Headers in which they name the client: X-Forwarded-For etc., or Forwarded."},
#undef G
#define G "Connections and output"
    FIELD(BOOL, keepalive, G, NULL, "1", 0, 1, "Allows several requests on one connection."),
    FIELD(BOOL, informational, G, NULL, "1", 0, 1,
          "Lets the application send interim responses (psgix.informational)."),
    FIELD(COUNT, max_keepalive_requests, G, "N", "0", 0, UINT_32,
          "Requests per connection; 0 is no limit."),
    FIELD(COUNT, max_requests_per_turn, G, "N", "32", 0, 1000000,
          "Requests of one connection in a row before others get their turn; 0 is no limit."),
    FIELD(BYTES, high_water_bytes, G, "BYTES", "64K", 1, GIB,
          "With this much unsent output, a producer is told to wait."),
    FIELD(BYTES, low_water_bytes, G, "BYTES", "16K", 0, GIB,
          "With this much or less, it is told to continue."),
    FIELD(BYTES, output_buffer_bytes, G, "BYTES", "1M", 0, GIB,
          "Unsent output of one client beyond this goes to a temporary file."),
    FIELD(BYTES, max_output_bytes, G, "BYTES", "0", 0, MIB * GIB,
          "Aborts a response with more unsent output than this; 0 is no limit."),
    FIELD(BOOL, chunked_responses, G, NULL, "1", 0, 1,
          "Sends bodies of unknown length in chunks; otherwise closing the connection ends them."),
    FIELD(STRING, server_header, G, "TEXT", "", 0, 200,
          "Value of the Server header; without it, no such header is sent."),
#undef G
#define G "Channels"
    FIELD(BYTES, channel_bytes, G, "BYTES", "16M", 65536, 64 * GIB,
          "Memory for the messages of all channels, shared by all workers."),
    FIELD(BYTES, channel_queue_bytes, G, "BYTES", "256K", 0, GIB,
          "How much may wait for a channel member that does not read."),
    {"channel_slow", 0, SPRIG_OPTION_CHOICE, G, "WHAT", "close", 0, 0,
          "close|drop|spill", offsetof(struct sprig_config, channel_slow),
     "Beyond that: close its connection, drop messages, or spill them to a file."},
#undef G
#define G "WebSocket"
    FIELD(BYTES, websocket_max_message_bytes, G, "BYTES", "1M", 0, GIB,
          "Largest message, decompressed; beyond: close 1009; 0 is no limit."),
    FIELD(COUNT, websocket_max_fragments, G, "N", "1024", 0, UINT_32,
          "Fragments per message; beyond: close 1008; 0 is no limit."),
    SECONDS(websocket_ping_interval, G, "20",
            "Pings a client after this much silence; 0 is never."),
    SECONDS(websocket_ping_timeout, G, "20",
          "How long to wait for its pong before the connection is dropped; 0 is no limit."),
    SECONDS(websocket_close_timeout, G, "5",
          "How long to wait for the answer to a close; 0 is no limit."),
    FIELD(BYTES, websocket_queue_bytes, G, "BYTES", "1M", 0, MIB * GIB,
          "Unsent messages per client; beyond: see the policy; 0 is no limit."),
    {"websocket_queue_policy", 0, SPRIG_OPTION_CHOICE, G, "POLICY", "drop", 0, 0,
          "drop|close|spill", offsetof(struct sprig_config, websocket_queue_policy),
     "Beyond that: drop the message, close the socket (1013), or spill to a file."},
    {"websocket_deflate", 0, SPRIG_OPTION_CHOICE, G, "MODE", "shared", 0, 0,
          "off|shared|own", offsetof(struct sprig_config, websocket_deflate),
     "Compression: off, shared (no memory between messages), own (a window per socket)."},
    FIELD(BYTES32, websocket_deflate_min_bytes, G, "BYTES", "128", 0, GIB,
          "Shorter messages are not compressed."),
    FIELD(COUNT, websocket_deflate_window_bits, G, "N", "12", 9, 15,
          "With own: the window size is 2 to the power of this."),
    FIELD(COUNT, websocket_deflate_memory_level, G, "N", "5", 1, 9,
          "With own: zlib's memory level."),
    FIELD(STRING, websocket_origins, G, "ORIGINS", "", 0, 4000,
          "Pages that may connect: https://example.org, *.example.org, same; default: all."),
#undef G
#define G "The event loop"
    {"nested", 0, SPRIG_OPTION_CHOICE, G, "MODE", "hold", 0, 0,
          "hold|dispatch|croak", offsetof(struct sprig_config, nested),
     "New requests while the application waits in recv: hold, dispatch or croak."},
    FIELD(COUNT, nested_depth, G, "N", "32", 1, 1000, "How deep such waits may nest."),
    FIELD(BOOL, die_on_disconnect, G, NULL, "0", 0, 1,
          "Makes the first write to a client that has left die."),
#undef G
#define G "Information"
    PLACK(help, 'h', G, NULL, NULL,
          "Prints the most important options, or the manual's entry for OPTION."),
    PLACK(help_all, 0, G, NULL, NULL, "Prints all options."),
    PLACK(version, 'v', G, NULL, NULL, "Prints the versions of sprig and its libraries."),
    {"completion", 0, SPRIG_OPTION_PLACK, G, "SHELL", NULL, 0, 0, "bash|zsh|fish", 0,
          "Prints the completion script for bash, zsh or fish."},
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
