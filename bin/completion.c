/* completion.c - what shells offer after "sprig": scripts for bash, zsh and fish, made from the
 * table of options. */
#include "command.h"
#include "ctl.h"

#include <stdio.h>
#include <string.h>

/* The kind of a value. */
enum value { VALUE_NONE, VALUE_TEXT, VALUE_FILE, VALUE_FOLDER, VALUE_CHOICE };

static enum value value_of(const struct sprig_option *o)
{
    if (o->argument == NULL)
        return VALUE_NONE;
    if (o->choices != NULL)
        return VALUE_CHOICE;
    if (strcmp(o->argument, "FILE") == 0)
        return VALUE_FILE;
    return strncmp(o->argument, "DIR", 3) == 0 ? VALUE_FOLDER : VALUE_TEXT;
}

/* Prints "hold|dispatch" with another character in between. */
static void print_choices(const char *choices, char between)
{
    for (; *choices != '\0'; choices++)
        putchar(*choices == '|' ? between : *choices);
}

static void print_verbs(void)
{
    const char *name;
    for (size_t i = 0; (name = ctl_verb(i)) != NULL; i++)
        printf("%s%s", i > 0 ? " " : "", name);
}

/* ------------------------------------------------------------------------ bash ---- */

static void print_bash_flags(void)
{
    size_t n;
    char flag[64];
    const struct sprig_option *options = sprig_options(&n);
    for (size_t i = 0; i < n; i++) {
        const struct sprig_option *o = &options[i];
        if (o->group == NULL)
            continue;
        printf(" %s", option_flag(o, "--", flag, sizeof flag));
        if (option_is_switch(o))
            printf(" %s", option_flag(o, "--no-", flag, sizeof flag));
    }
}

/* Prints one `case` line: what to offer after this flag. */
static void print_bash_value(const struct sprig_option *o)
{
    char flag[64];
    option_flag(o, "--", flag, sizeof flag);
    if (o->letter != 0)
        printf("        -%c|%s) ", o->letter, flag);
    else
        printf("        %s) ", flag);
    switch (value_of(o)) {
    case VALUE_CHOICE:
        fputs("COMPREPLY=($(compgen -W '", stdout);
        print_choices(o->choices, ' ');
        puts("' -- \"$cur\")); return ;;");
        return;
    case VALUE_FILE:
        puts("compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\")); return ;;");
        return;
    case VALUE_FOLDER:
        puts("compopt -o filenames; COMPREPLY=($(compgen -d -- \"$cur\")); return ;;");
        return;
    default:
        puts("return ;;");
    }
}

static void print_bash(void)
{
    size_t n;
    const struct sprig_option *options = sprig_options(&n);
    puts("# bash completion for sprig; written by sprig --completion bash\n"
         "_sprig() {\n"
         "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
         "    COMPREPLY=()\n"
         "    if [[ ${COMP_WORDS[1]} == ctl && $COMP_CWORD -gt 1 ]]; then");
    puts("        local words\n"
         "        case $prev in\n"
         "            worker) words='add remove kill' ;;\n"
         "            status) words=--json ;;\n"
         "            reload) words=--wait ;;\n"
         "            --config|--pid|--token-file) compopt -o filenames;"
         " COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
         "            --admin) return ;;");
    fputs("            *) words='--admin --config --pid --token-file ", stdout);
    print_verbs();
    puts("' ;;\n"
         "        esac\n"
         "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "        return\n"
         "    fi\n"
         "    case $prev in");
    for (size_t i = 0; i < n; i++)
        if (options[i].group != NULL && value_of(&options[i]) != VALUE_NONE)
            print_bash_value(&options[i]);
    fputs("    esac\n"
          "    if [[ $cur == -* ]]; then\n"
          "        COMPREPLY=($(compgen -W '",
          stdout);
    print_bash_flags();
    puts("' -- \"$cur\"))\n"
         "        return\n"
         "    fi\n"
         "    compopt -o filenames\n"
         "    COMPREPLY=($(compgen -f -X '!*.psgi' -- \"$cur\") $(compgen -d -- \"$cur\"))\n"
         "    [[ $COMP_CWORD -eq 1 && ctl == \"$cur\"* ]] && COMPREPLY+=(ctl)\n"
         "}\n"
         "complete -F _sprig sprig");
}

/* ------------------------------------------------------------------------- zsh ---- */

/* Prints text within [ ] and single quotes. */
static void print_zsh_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr("[]:\\", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void print_zsh_value(const struct sprig_option *o)
{
    switch (value_of(o)) {
    case VALUE_NONE:
        return;
    case VALUE_CHOICE:
        printf(":%s:(", o->argument);
        print_choices(o->choices, ' ');
        putchar(')');
        return;
    case VALUE_FILE:
        printf(":%s:_files", o->argument);
        return;
    case VALUE_FOLDER:
        printf(":%s:_files -/", o->argument);
        return;
    case VALUE_TEXT:
        printf(":%s: ", o->argument);
    }
}

/* A repeatable flag has a * before it. */
static void print_zsh_flag(const struct sprig_option *o, const char *flag)
{
    printf("        '*%s[", flag);
    print_zsh_text(o->help);
    putchar(']');
    print_zsh_value(o);
    puts("' \\");
}

static void print_zsh(void)
{
    size_t n;
    char flag[64];
    const struct sprig_option *options = sprig_options(&n);
    fputs("#compdef sprig\n"
          "# written by sprig --completion zsh\n"
          "_sprig() {\n"
          "    if [[ $words[2] == ctl && $CURRENT -gt 2 ]]; then\n"
          "        case $words[CURRENT-1] in\n"
          "            worker) compadd add remove kill ;;\n"
          "            status) compadd -- --json ;;\n"
          "            reload) compadd -- --wait ;;\n"
          "            --config|--pid|--token-file) _files ;;\n"
          "            --admin) ;;\n"
          "            *) compadd -- --admin --config --pid --token-file ",
          stdout);
    print_verbs();
    puts(" ;;\n"
         "        esac\n"
         "        return\n"
         "    fi\n"
         "    _arguments -S \\");
    for (size_t i = 0; i < n; i++) {
        const struct sprig_option *o = &options[i];
        char letter[3] = {'-', o->letter, '\0'};
        if (o->group == NULL)
            continue;
        if (o->letter != 0)
            print_zsh_flag(o, letter);
        print_zsh_flag(o, option_flag(o, "--", flag, sizeof flag));
        if (option_is_switch(o))
            print_zsh_flag(o, option_flag(o, "--no-", flag, sizeof flag));
    }
    puts("        '*:application:_files -g \"*.psgi\"'\n"
         "    [[ $CURRENT -eq 2 ]] && compadd ctl\n"
         "}\n"
         "if [[ $funcstack[1] == _sprig ]]; then _sprig \"$@\"; else compdef _sprig sprig; fi");
}

/* ------------------------------------------------------------------------ fish ---- */

static void print_fish_text(const char *text)
{
    putchar('\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('\'');
}

static void print_fish_option(const struct sprig_option *o, const char *name, char letter)
{
    printf("complete -c sprig -n 'not __fish_seen_subcommand_from ctl' -l %s", name);
    if (letter != 0)
        printf(" -s %c", letter);
    switch (value_of(o)) {
    case VALUE_NONE:
        break;
    case VALUE_CHOICE:
        fputs(" -x -a '", stdout);
        print_choices(o->choices, ' ');
        putchar('\'');
        break;
    case VALUE_FILE:
    case VALUE_FOLDER:
        fputs(" -r -F", stdout);
        break;
    case VALUE_TEXT:
        fputs(" -x", stdout);
    }
    fputs(" -d ", stdout);
    print_fish_text(o->help);
    putchar('\n');
}

static void print_fish(void)
{
    size_t n;
    char name[64];
    const struct sprig_option *options = sprig_options(&n);
    puts("# fish completion for sprig; written by sprig --completion fish");
    for (size_t i = 0; i < n; i++) {
        const struct sprig_option *o = &options[i];
        if (o->group == NULL)
            continue;
        print_fish_option(o, option_flag(o, "", name, sizeof name), o->letter);
        if (option_is_switch(o))
            print_fish_option(o, option_flag(o, "no-", name, sizeof name), 0);
    }
    puts("complete -c sprig -n __fish_is_first_token -a ctl -d 'Asks a running server'");
    puts("complete -c sprig -n '__fish_seen_subcommand_from ctl' -f");
    fputs("complete -c sprig -n '__fish_seen_subcommand_from ctl;"
          " and not __fish_seen_subcommand_from worker status reload' -a '",
          stdout);
    print_verbs();
    puts("'\n"
         "complete -c sprig -n '__fish_seen_subcommand_from worker' -a 'add remove kill'\n"
         "complete -c sprig -n '__fish_seen_subcommand_from status' -l json\n"
         "complete -c sprig -n '__fish_seen_subcommand_from reload' -l wait\n"
         "complete -c sprig -n '__fish_seen_subcommand_from ctl' -l admin -x\n"
         "complete -c sprig -n '__fish_seen_subcommand_from ctl' -l config -r -F\n"
         "complete -c sprig -n '__fish_seen_subcommand_from ctl' -l pid -r -F\n"
         "complete -c sprig -n '__fish_seen_subcommand_from ctl' -l token-file -r -F");
}

bool completion_print(const char *shell)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].print();
            return true;
        }
    return false;
}
