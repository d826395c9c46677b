import { configNames } from './configs.ts'

/** The text of `ipcns kernel --help`. */
export function help(): string {
  return `Usage: ipcns kernel build [OPTION...]
       ipcns kernel boot KERNEL [OPTION...] -- COMMAND [ARGUMENT...]
       ipcns kernel matrix [OPTION...]

Makes and boots real kernels, without KVM and without an image: this machine's files are the guest's,
read-only. Everything made is kept in a cache: --cache DIR, else ipcns/kernels under XDG_CACHE_HOME or
~/.cache.

build: prints the path of a user-mode Linux program, made from a kernel source and a configuration
  --source SOURCE   a source directory, a tar file, or linux-source-VERSION (the newest installed one)
  --suite SUITE     take linux-source from this Debian suite: trixie, sid, bookworm-backports, ...
  --config NAME     a named configuration, or a file of settings laid over "full" (full);
                    named: ${wrapped(configNames())}
  --set CONFIG_X=n  one setting more; may be repeated

boot: runs a command as root in a guest; its output and exit status are the command's
  KERNEL            a user-mode Linux program, a vmlinuz, a .deb, or an installed package
  --suite SUITE     KERNEL is a package of this Debian suite: linux-image-amd64
  --timeout SECONDS kill the guest after this time, exit status 2 (300)
  --memory MB       (1024)
  --writable DIR    the one directory of this machine that the guest may write to (none)

matrix: runs the suite in one guest for each kernel and configuration, and puts the results side by side;
  compares each with what "ipcns kconfig" predicts from the configuration
  --kernels LIST    5.10, 6.1, 6.12, newest: user-mode Linux from Debian's sources; stock-5.10 ... stock-newest:
                    Debian's own kernels under QEMU; linux-source-V@SUITE, linux-image-X@SUITE, or a path
                    (5.10,6.1,6.12,newest)
  --configs LIST    of the named configurations (all); a kernel that is built already has its own
  --profile NAME    as for "ipcns run" (quick); --rule GLOB as well
  --timeout SECONDS for one guest (3600)
  --jobs N          guests at once (the number of processors)
  --out DIR         where results and reports go (reports/latest/matrix): matrix.html, matrix.json, junit.xml,
                    and each guest's own in KERNEL/CONFIG, for "ipcns diff" between any two

Exit status: 0 done; boot: the command's; matrix: 1 when a kernel does not conform or "ipcns kconfig"
predicted something else; 2 bad input, a build that failed, a guest that died or overran its time;
77 a tool is missing, with the Debian package that has it.
`
}

/** Names in lines that fit the column they stand in. */
function wrapped(names: readonly string[]): string {
  return names
    .join(', ')
    .replaceAll(
      /(.{1,70})(, |$)/g,
      (_, line: string, end: string) => line + (end && ',\n                    '),
    )
}
