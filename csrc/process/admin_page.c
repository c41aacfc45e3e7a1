/* admin_page.c - the page that shows it all live. */
#include "process/admin_internal.h"

const char admin_page[] = "<!doctype html><title>sprig</title><p>see /stats.json\n";
