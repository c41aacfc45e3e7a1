/* config.h - every option of Sprig in one table.
 *
 * Only the table knows an option's name, type, unit, default, range and help text. The command
 * line, Sprig::Server->new, --help and the check of the POD all use it. An option `max_body_bytes`
 * is the field config.max_body_bytes, the constructor key max_body_bytes and the flag
 * --max-body-bytes. */
#ifndef SPRIG_CONFIG_H
#define SPRIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether clients may open WebSockets over HTTP/2. AUTO: once an application has had one. */
enum sprig_h2_websocket { SPRIG_H2_WEBSOCKET_AUTO, SPRIG_H2_WEBSOCKET_ON, SPRIG_H2_WEBSOCKET_OFF };

/* How nested event loops (a blocking recv inside an app) treat new requests. */
enum sprig_nested { SPRIG_NESTED_HOLD, SPRIG_NESTED_DISPATCH, SPRIG_NESTED_CROAK };

/* The oldest version of TLS that is spoken. */
enum sprig_tls_version { SPRIG_TLS_1_2, SPRIG_TLS_1_3 };

/* Whether clients have to show a certificate. */
enum sprig_verify { SPRIG_VERIFY_NONE, SPRIG_VERIFY_OPTIONAL, SPRIG_VERIFY_REQUIRED };

/* Which header fields of trusted proxies Sprig believes. */
enum sprig_proxy_headers { SPRIG_PROXY_X_FORWARDED, SPRIG_PROXY_FORWARDED, SPRIG_PROXY_NONE };

/* What happens to members of a channel that do not read fast enough. */
enum sprig_slow { SPRIG_SLOW_CLOSE, SPRIG_SLOW_DROP, SPRIG_SLOW_SPILL };
/* Where the id of a request is from. */
enum sprig_request_id { SPRIG_REQUEST_ID_OFF, SPRIG_REQUEST_ID_TRUST, SPRIG_REQUEST_ID_MAKE };

/* How messages look. */
enum sprig_error_log_format { SPRIG_LOG_TEXT, SPRIG_LOG_JSON };
/* What happens to a message that does not fit into a WebSocket's queue, and how messages are
 * compressed. */
enum sprig_ws_policy { SPRIG_WS_POLICY_DROP, SPRIG_WS_POLICY_CLOSE, SPRIG_WS_POLICY_SPILL };
enum sprig_ws_deflate { SPRIG_WS_DEFLATE_OFF, SPRIG_WS_DEFLATE_SHARED, SPRIG_WS_DEFLATE_OWN };

/* The options that the core and the bridge read. The struct owns its strings. */
struct sprig_config {
    char *config; /* path of a file with options, see config_file.h; NULL: none */
    /* processes */
    uint32_t workers;
    bool workers_is_auto;   /* no option: workers was "auto" */
    bool master;            /* also for one worker */
    uint32_t workers_limit; /* 0: from workers */
    bool preload_app;
    uint32_t max_requests; /* of one worker; 0 = no limit */
    uint64_t max_rss;      /* bytes, of one worker; 0 = no limit */
    double max_lifetime;   /* seconds, of one worker; 0 = no limit */
    double start_timeout;  /* seconds */
    char *probe;           /* path; NULL: none */
    char *pid;             /* path; NULL: none */
    bool daemonize;
    /* development */
    bool dev;
    char *dev_hosts; /* names, "," between them; NULL: none */
    bool live_reload;
    char *watch; /* patterns, absolute, "," between them; NULL: none */
    /* looking into it */
    char *admin;            /* address; NULL: no admin listener */
    char *admin_token_file; /* path; NULL: no token */
    double block_warning;   /* seconds; 0: none */
    double block_timeout;   /* seconds; 0: none */
    /* what is written about requests */
    char *access_log;        /* path; NULL: none */
    char *access_log_format; /* NULL: combined; see logformat.h */
    /* messages, see log.h */
    char *error_log; /* path; NULL: standard error */
    enum sprig_error_log_format error_log_format;
    unsigned log_level;        /* enum sprig_log_level */
    uint64_t log_buffer_bytes; /* of each log */
    enum sprig_request_id request_id;
    char *request_id_header; /* NULL: none */
    /* listening */
    bool reuseport;
    uint32_t backlog;
    bool no_delay;
    char *socket_mode;  /* octal; NULL: by the umask */
    char *socket_user;  /* NULL: the user below */
    char *socket_group; /* NULL: that of socket_user, else the group below */
    /* TLS */
    char *tls_cert;               /* paths, separated by commas; NULL: none */
    char *tls_key;                /* the same; NULL: they are in the files of tls_cert */
    double tls_handshake_timeout; /* seconds; 0 = none */
    double tls_reload_interval;   /* the same; 0 = never */
    uint32_t tls_handshakes_per_turn;
    bool tls_redirect;
    char *tls_key_password_file; /* path; NULL: none */
    bool tls_reject_unknown_names;
    enum sprig_tls_version tls_min_version;
    char *tls_ciphers;          /* of TLS 1.2; NULL: see tls_settings.c */
    char *tls_ciphersuites;     /* of TLS 1.3; NULL: OpenSSL's */
    char *tls_groups;           /* NULL: see tls_settings.c */
    double tls_ticket_lifetime; /* seconds; 0: no tickets */
    char *tls_ocsp;             /* paths, as tls_cert; NULL: none */
    char *tls_client_ca;        /* path */
    enum sprig_verify tls_verify;
    char *tls_crl; /* path; NULL: none */
    bool tls_env;
    char *acme_dir; /* path; NULL: none */
    /* privileges, see privileges.h; NULL: as they are */
    char *user, *group;
    char *umask; /* octal */
    /* HTTP/2 */
    bool http2;
    uint32_t http2_max_streams;
    uint32_t http2_stream_window, http2_connection_window; /* bytes */
    enum sprig_h2_websocket http2_websocket;
    uint32_t http2_max_resets, http2_max_idle_frames; /* 0 = no limit */
    /* what a request may be */
    uint32_t max_request_line;
    uint32_t max_header_bytes;
    uint32_t max_headers;
    uint64_t max_body_bytes;
    uint64_t body_buffer_bytes;
    char *streaming_input; /* path; NULL: nowhere */
    char *temp_dir;        /* NULL: $TMPDIR, else /tmp */
    /* deadlines, in seconds; 0 = none */
    double header_timeout;
    double body_timeout;
    uint32_t min_body_rate; /* bytes a second */
    double write_timeout;
    double keepalive_timeout;
    double graceful_timeout;
    double drain_delay;
    /* connections */
    bool keepalive;
    bool informational;
    uint32_t max_keepalive_requests;
    uint32_t max_requests_per_turn;
    /* overload */
    uint32_t max_connections; /* 0: from the limit of descriptors */
    uint32_t max_connections_per_ip;
    uint32_t max_requests_in_flight;
    double queue_timeout; /* seconds */
    /* proxies */
    char *trusted_proxies; /* networks, see cidr.h; NULL: none */
    enum sprig_proxy_headers proxy_headers;
    /* output */
    uint64_t high_water_bytes;
    uint64_t low_water_bytes;
    uint64_t output_buffer_bytes;
    uint64_t max_output_bytes; /* 0 = no limit */
    bool chunked_responses;    /* false: bodies of unknown length end with the connection */
    char *server_header;       /* NULL: no Server header */
    /* channels */
    uint64_t channel_bytes;
    uint64_t channel_queue_bytes;
    enum sprig_slow channel_slow;
    /* WebSocket */
    uint64_t websocket_max_message_bytes; /* 0 = no limit, as below */
    uint32_t websocket_max_fragments;
    double websocket_ping_interval, websocket_ping_timeout, websocket_close_timeout; /* seconds */
    uint64_t websocket_queue_bytes;
    enum sprig_ws_policy websocket_queue_policy;
    enum sprig_ws_deflate websocket_deflate;
    uint32_t websocket_deflate_min_bytes, websocket_deflate_window_bits,
        websocket_deflate_memory_level;
    char *websocket_origins; /* NULL: all */
    /* the app */
    enum sprig_nested nested;
    uint32_t nested_depth;
    bool die_on_disconnect;
};

enum sprig_option_type {
    SPRIG_OPTION_BOOL,    /* 0/1, yes/no, true/false, on/off, "" = 0; the flag may stand alone */
    SPRIG_OPTION_COUNT,   /* uint32_t; with the choice "auto" that is the number of processors */
    SPRIG_OPTION_BYTES,   /* uint64_t; suffixes K, M, G = 1024^1..3 */
    SPRIG_OPTION_BYTES32, /* uint32_t, else the same */
    SPRIG_OPTION_SECONDS, /* double */
    SPRIG_OPTION_STRING,  /* char *, "" = NULL */
    SPRIG_OPTION_PATH,    /* the same, made absolute when it is set; names of descriptors ("-",
                             /dev/stdout, see log_target.h) stay */
    SPRIG_OPTION_PATHS,   /* several of them, separated by commas */
    SPRIG_OPTION_CHOICE,  /* enum, one of `choices` */
    SPRIG_OPTION_PLACK    /* not a field: only the program knows it; on/off if it has a default but
                             takes no argument */
};

/* One row of the table. */
struct sprig_option {
    const char *name; /* "max_body_bytes"; the flag is --max-body-bytes */
    char letter;      /* short flag, or 0 */
    enum sprig_option_type type;
    const char *group;    /* heading in --help; NULL: known but refused, `help` says why */
    const char *argument; /* how --help names the value: "BYTES", "SECONDS"; NULL: takes none */
    const char *initial;  /* the default as text, parsed like any other value */
    double min, max;      /* of the value; of its length for strings */
    const char *choices;  /* "hold|dispatch|croak" */
    size_t offset;        /* of the field in struct sprig_config */
    const char *help;     /* one sentence; %-free */
};

/* All rows, in the order of --help; *n is their number. Static storage. */
const struct sprig_option *sprig_options(size_t *n);

/* The row with that name ('-' and '_' are the same), or NULL. */
const struct sprig_option *sprig_option_find(const char *name);

/* Sets every option to its default. Pair it with sprig_config_clear(). */
void sprig_config_init(struct sprig_config *c);
void sprig_config_clear(struct sprig_config *c);

/* Makes a deep copy; *to must be uninitialised. Returns 0 or SPRIG_E_NOMEM. */
int sprig_config_copy(struct sprig_config *to, const struct sprig_config *from);

/* True if a running server keeps the value it started with. */
bool sprig_option_is_fixed(const struct sprig_option *o);

/* Call this after the last option: if workers is "auto" there is a master, however many processors
 * there are. */
void sprig_config_settle(struct sprig_config *c);

/* Whether a master starts the workers. */
bool sprig_config_has_master(const struct sprig_config *c);

/* Restores what a reload cannot change. `kept` (n bytes) gets the names of the options that
 * differed, separated by ", ", or "". Returns 0 or SPRIG_E_NOMEM. */
int sprig_config_keep_fixed(struct sprig_config *fresh, const struct sprig_config *before,
                            char *kept, size_t n);

/* Sets one option from text. SPRIG_E_NOTFOUND: no such option, or not a field.
 * SPRIG_E_INVALID: nothing was changed, and `why` (n bytes) names option, range and value:
 * "max_headers must be a whole number from 1 to 100000, got 'many'". */
int sprig_config_set(struct sprig_config *c, const char *name, const char *value, char *why,
                     size_t n);

/* Reads the value of a switch: 0/1, yes/no, true/false, on/off, "" = 0. False if it is something
 * else. */
bool sprig_option_read_switch(const char *text, bool *out);

/* The option that an unknown name was probably meant to be, or NULL. */
const char *sprig_option_nearest(const char *name);

/* Reads the variables of hosting platforms: WEB_CONCURRENCY is the number of workers. Like
 * sprig_config_read_environ. */
int sprig_config_read_platform(struct sprig_config *c, char *why, size_t n);

/* The next variable, from *i on, that begins with SPRIG_ and is none of ours; NULL if there is
 * none. Skips those that Kubernetes sets for a service called sprig. Writes into buf. */
const char *sprig_environ_unknown(size_t *i, char *buf, size_t n);

/* The value of an option in the environment: SPRIG_ and its name in capitals, such as
 * SPRIG_MAX_BODY_BYTES. `variable` (n bytes) gets that name. NULL if the variable is unset or
 * empty, or if the option is no field and so has none. */
const char *sprig_option_environ(const struct sprig_option *o, char *variable, size_t n);

/* Sets all options that have a value in the environment. Like sprig_config_set; `why` also names
 * the variable. */
int sprig_config_read_environ(struct sprig_config *c, char *why, size_t n);

/* The current value as text, as sprig_config_set would take it; NULL if there is no such field.
 * Writes into buf (n >= 64) or returns the string itself. */
const char *sprig_config_get(const struct sprig_config *c, const char *name, char *buf, size_t n);

#endif
