# Usage: perl with-seccomp.pl ERRNO SYSCALL[,SYSCALL] PROGRAM [ARGUMENT...]
# Runs a program in which the named system calls fail with ERRNO: what sandboxes do to processes (seccomp(2)).
use strict;
use warnings;
use POSIX ();

my %numbers = (
    x86_64  => { bpf => 321, prctl => 157, recvmmsg => 299, sendmsg => 46,  sendmmsg => 307, sendto => 44 },
    aarch64 => { bpf => 280, prctl => 167, recvmmsg => 243, sendmsg => 211, sendmmsg => 269, sendto => 206 },
);
my ($errno, $names, @command) = @ARGV;
my $machine = (POSIX::uname())[4];
my $number_of = $numbers{$machine} or die "no system call numbers are known for $machine\n";
my @wanted = map { $number_of->{$_} // die "unknown system call $_\n" } split /,/, $names;

# struct sock_filter { u16 code; u8 jt; u8 jf; u32 k }: load the number, compare with each, allow or refuse.
my @program = (pack 'SCCL', 0x20, 0, 0, 0);
for my $i (0 .. $#wanted) {
    push @program, pack 'SCCL', 0x15, $#wanted - $i + 1, 0, $wanted[$i];
}
push @program, pack('SCCL', 0x06, 0, 0, 0x7fff0000), pack('SCCL', 0x06, 0, 0, 0x00050000 | $errno);
my $code = join '', @program;
my $filter = pack 'Sx![P]P', scalar @program, $code;

my ($no_new_privileges, $set_seccomp, $mode_filter) = (38, 22, 2);
syscall($number_of->{prctl}, $no_new_privileges, 1, 0, 0, 0) == 0 or die "PR_SET_NO_NEW_PRIVS: $!\n";
syscall($number_of->{prctl}, $set_seccomp, $mode_filter, $filter) == 0 or die "PR_SET_SECCOMP: $!\n";
exec { $command[0] } @command or die "$command[0]: $!\n";
