/* replay.c - runs a target over the files that are named: for compilers without a fuzzer. */
#include "fuzz.h"

int main(int argc, char **argv)
{
    static uint8_t bytes[1 << 20];
    for (int i = 1; i < argc; i++) {
        FILE *in = fopen(argv[i], "rb");
        if (in == NULL) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        size_t n = fread(bytes, 1, sizeof bytes, in);
        fclose(in);
        LLVMFuzzerTestOneInput(bytes, n);
    }
    printf("%d inputs\n", argc - 1);
    return EXIT_SUCCESS;
}
