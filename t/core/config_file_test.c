/* Options in files: what is read, what is refused with its place, and that values print as they
 * read. */
#include "base/config_file.h"
#include "base/err.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/sprig-config-XXXXXX";
static char why[512];
static struct sprig_config_file file;

static int read_text(const char *text, size_t n)
{
    FILE *out = fopen(path, "w");
    if (out == NULL || fwrite(text, 1, n, out) != n || fclose(out) != 0)
        return SPRIG_E_SYS;
    return sprig_config_file_read(&file, path, why, sizeof why);
}

static void values(void)
{
    static const char text[] = "max-headers = 7\nlisten=:1\nlisten = :2 # two\n"
                               "server_header = \" \\x41\\t\\\"\"\nreload = yes\n";
    static const char *const read[][2] = {
        {"max_headers", "7"}, {"listen", ":1"}, {"listen", ":2"}, {"reload", "1"}};
    ok(read_text(text, sizeof text - 1) == SPRIG_E_INVALID, "a tab is refused by the option");
    ok(strstr(why, " line 4: server_header must be ") != NULL, "with its line: %s", why);
    ok(file.n == 0 && file.settings == NULL, "nothing is left");
    static const char good[] = "max-headers = 7\nlisten=:1\nlisten = :2 # two\nreload = yes\n";
    ok(read_text(good, sizeof good - 1) == 0, "read");
    ok(file.n == 4, "four settings");
    for (size_t i = 0; i < 4 && i < file.n; i++)
        ok(strcmp(file.settings[i].option->name, read[i][0]) == 0 &&
               strcmp(file.settings[i].value, read[i][1]) == 0 && file.settings[i].line == i + 1,
           "line %zu", i + 1);
    struct sprig_config config;
    sprig_config_init(&config);
    ok(sprig_config_file_apply(&file, &config) == 0 && config.max_headers == 7, "applied");
    sprig_config_clear(&config);
    sprig_config_file_clear(&file);
}

/* Every byte, alone and between others. */
static void round_trip(void)
{
    char value[8], quoted[SPRIG_CONFIG_QUOTED_BYTES(8)], line[256];
    unsigned n_wrong = 0;
    for (unsigned c = 1; c < 256; c++) {
        static const char *const forms[] = {"%c", " %c", "%c ", "a%cb", "a %cb", "\\%c", "%c{A}"};
        for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
            switch (i) {
            case 0:
                snprintf(value, sizeof value, "%c", (int)c);
                break;
            case 1:
                snprintf(value, sizeof value, " %c", (int)c);
                break;
            case 2:
                snprintf(value, sizeof value, "%c ", (int)c);
                break;
            case 3:
                snprintf(value, sizeof value, "a%cb", (int)c);
                break;
            case 4:
                snprintf(value, sizeof value, "a %cb", (int)c);
                break;
            case 5:
                snprintf(value, sizeof value, "\\%c", (int)c);
                break;
            default:
                snprintf(value, sizeof value, "%c{A}", (int)c);
            }
            int len =
                snprintf(line, sizeof line, "app = %s # x\n", sprig_config_quote(value, quoted));
            bool is_same = read_text(line, (size_t)len) == 0 && file.n == 1 &&
                           strcmp(file.settings[0].value, value) == 0;
            n_wrong += !is_same;
            if (!is_same)
                diag("0x%02x in form %s: %s", c, forms[i], why);
            sprig_config_file_clear(&file);
        }
    }
    ok(n_wrong == 0, "every byte is read as it was printed");
}

static void hostile(void)
{
    static const char *const texts[] = {
        "=",           "= x",          "app",      "app = \"",       "app = \"\\",
        "app = \"\\x", "app = \"\\x4", "app = ${", "app = ${}",      "@",
        "@include",    "@include \"",  "\xEF\xBB", "app = \"\\x00\""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ok(read_text(texts[i], strlen(texts[i])) < 0 && strstr(why, " line 1: ") != NULL,
           "refused: %s", texts[i]);
    char *wide = malloc(CONFIG_LINE_BYTES + 10);
    memset(wide, 'x', CONFIG_LINE_BYTES + 10);
    memcpy(wide, "app = ", 6);
    ok(read_text(wide, CONFIG_LINE_BYTES) == 0, "a line at the limit");
    sprig_config_file_clear(&file);
    ok(read_text(wide, CONFIG_LINE_BYTES + 1) < 0, "one past it");
    free(wide);
    ok(read_text("", 0) == 0 && file.n == 0, "an empty file");
    sprig_config_file_clear(&file);
}

static void nearest(void)
{
    is_str(sprig_option_nearest("max-header"), "max_headers", "a letter is missing");
    is_str(sprig_option_nearest("wokrers"), "workers", "two are swapped");
    ok(sprig_option_nearest("qqqq") == NULL, "nothing is like that");
    ok(sprig_option_nearest("") == NULL, "nor like nothing");
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd == -1)
        return 1;
    close(fd);
    values();
    round_trip();
    hostile();
    nearest();
    unlink(path);
    return done_testing();
}
