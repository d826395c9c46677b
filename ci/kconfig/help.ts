/** The whole of `ipcns kconfig --help`. */
export const KCONFIG_HELP = `Usage: ipcns kconfig [FILE] [OPTION...]

Reads a kernel configuration and says what this suite can test with it: which symbols are there and why they
matter, which rules would run, and what to add. Needs no root, starts no probe, loads no module.

FILE is a full .config, a defconfig or a fragment, plain or gzip; "-" is standard input. Without FILE the
running kernel's is found: $KCONFIG_PATH, /proc/config.gz, /boot/config-R, /lib/modules/R/config and
build/.config, /usr/lib/modules/R, ostree, /lib/kernel (R is "uname -r").

  --require SYMBOL|EXPRESSION...  fail unless these hold too; several, repeated, or separated by commas:
                      --require USER_NS
                      --require 'CONFIG_SYSVIPC=y | (CONFIG_POSIX_MQUEUE & !CONFIG_COMPAT)'
                      SYMBOL is y or m, SYMBOL=V exactly V; ! & | ( ) as in LTP's needs_kconfigs
  --profile NAME      what counts as required: quick (the default: what a verdict on each mechanism needs),
                      default (and the flag sets of a default run: USER_NS, PID_NS, UTS_NS) or
                      full (and all that lets a rule run)
  --verify            ask the running kernel as well and let it overrule the configuration: "y" and yet
                      missing is a finding (status 1), "not set" and yet there is a note
  --format NAME       text, json, junit, github (annotations) or fragment (only the lines to add)
  --json              the same as --format json

States: y, m, =value, is not set, absent (no line: the kernel does not know it or its dependencies are not
met; in a fragment, the default decides), no config.

Exit status: 0 everything required is present; 1 something required is missing, or --verify has a finding;
2 bad usage, or a configuration that cannot be read or is malformed (repeated and broken lines are named);
77 no configuration was found (and --verify did not settle it).
`
