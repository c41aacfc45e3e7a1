/* proxy.c - PROXY headers: however they are cut, the verdict is the same; addresses are text of the
 * right kind. The same bytes as the value of forwarding header fields, and as a list of networks.
 */
#include "http/proxy.h"
#include "fuzz.h"
#include "http/target.h"

static long parse(const uint8_t *data, size_t n, struct cuts *cuts, struct proxy_header *header)
{
    size_t at = 0;
    long rc = 0;
    const char *reason;
    do {
        size_t step = cuts != NULL ? cuts_next(cuts) : n;
        at = step < n - at ? at + step : n;
        char *bytes = exact_copy(data, at);
        rc = proxy_header_parse(span_make(bytes, at), header, &reason);
        free(bytes);
        FUZZ_CHECK((rc < 0) == (reason != NULL));
    } while (rc == 0 && at < n);
    return rc;
}

static void check_told(const struct proxy_header *header)
{
    FUZZ_CHECK(cidr_is_address(span_str(header->remote_host)));
    FUZZ_CHECK(cidr_is_address(span_str(header->local_host)));
    FUZZ_CHECK(header->remote_port[0] != '\0' && header->local_port[0] != '\0');
}

static void check_forwarded(const char *bytes, size_t n)
{
    static const char *const names[] = {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
                                        "X-Forwarded-Port", "Forwarded"};
    struct sprig_header headers[5];
    struct sprig_request req = {.headers = headers, .n_headers = 5};
    struct sprig_forwarded f;
    struct cidr_list trusted;
    char bad[64];
    for (int i = 0; i < 5; i++)
        headers[i] = (struct sprig_header){span_str(names[i]), span_trim(span_make(bytes, n))};
    FUZZ_CHECK(cidr_list_read(&trusted, "10.0.0.0/8 ::1 unix", bad, sizeof bad) == 0);
    for (int which = SPRIG_PROXY_X_FORWARDED; which <= SPRIG_PROXY_NONE; which++) {
        proxy_forwarded(&req, &trusted, (enum sprig_proxy_headers)which, SPAN_LIT("unix/"), &f);
        FUZZ_CHECK(f.remote_host.ptr == NULL || cidr_is_address(f.remote_host));
        FUZZ_CHECK(f.host.ptr == NULL || target_is_authority(f.host));
        FUZZ_CHECK(f.port.len <= 5);
        proxy_forwarded(&req, &trusted, (enum sprig_proxy_headers)which, SPAN_LIT("9.9.9.9"), &f);
        FUZZ_CHECK(f.remote_host.ptr == NULL && f.host.ptr == NULL && f.port.ptr == NULL);
    }
    cidr_list_clear(&trusted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct proxy_header whole, cut;
    struct cidr_list list;
    char bad[64];
    if (n < 2)
        return 0;
    struct cuts cuts = cuts_make(data);
    long rc = parse(data + 2, n - 2, NULL, &whole);
    FUZZ_CHECK(parse(data + 2, n - 2, &cuts, &cut) == rc);
    FUZZ_CHECK(rc <= (long)n - 2);
    if (rc > 0 && whole.is_told)
        check_told(&whole);
    char *text = exact_copy(data + 1, n - 1);
    memmove(text, text + 1, n - 2);
    check_forwarded(text, n - 2);
    text[n - 2] = '\0';
    if (cidr_list_read(&list, text, bad, sizeof bad) == 0)
        cidr_list_clear(&list);
    free(text);
    return 0;
}
