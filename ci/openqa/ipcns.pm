# openQA: test module. Put it under tests/kernel/ of your test distribution and load it with
#   loadtest 'kernel/ipcns';
# Variables: IPCNS_URL (a tar archive of this project, or its git URL), IPCNS_PROFILE (default: default).
# Results are read by openQA's XUnit parser: one module for each area of the catalogue.
package ipcns;

use Mojo::Base 'basetest', -signatures;
use testapi;

use constant {
    DIRECTORY => '/var/tmp/ipcns',
    TIMEOUT => 1800,
};

sub run ($self) {
    select_console('root-console');

    my $url = get_required_var('IPCNS_URL');
    my $profile = get_var('IPCNS_PROFILE', 'default');
    my $directory = DIRECTORY;

    assert_script_run("rm -rf $directory && mkdir -p $directory");
    if ($url =~ /\.git$/) {
        assert_script_run("git clone --depth 1 '$url' $directory", timeout => 300);
    }
    else {
        assert_script_run("curl -fsSL '$url' | tar -xz -C $directory --strip-components=1", timeout => 300);
    }
    assert_script_run("cd $directory && npm ci", timeout => 600);

    # What this kernel can be tested for; a bad configuration is a fact to record, the run decides.
    my $config = script_run('node harness/bin/ipcns.mjs kconfig --verify > kconfig.txt 2>&1');
    upload_logs("$directory/kconfig.txt", failok => 1);
    record_info('kconfig', "ipcns kconfig: status $config");

    my $status = script_run("node harness/bin/ipcns.mjs run --profile '$profile' --disposable > run.txt 2>&1",
        timeout => TIMEOUT);
    upload_logs("$directory/run.txt", failok => 1);
    die 'ipcns did not end in time' unless defined $status;

    if ($status == 77) {
        record_info('skipped', 'nothing that applies here could run', result => 'softfail');
        return;
    }
    # XUnit, not JUnit: openQA's JUnit parser needs attributes that only its own tools write.
    parse_extra_log('XUnit', "$directory/reports/latest/junit.xml") if $status == 0 || $status == 1;
    upload_logs("$directory/reports/latest/results.json", failok => 1);
    die "the kernel does not isolate IPC (status $status)" if $status == 1;
    die "ipcns broke (status $status)" if $status != 0;
}

sub test_flags ($self) {
    return {fatal => 0};
}

1;
