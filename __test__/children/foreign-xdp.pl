# Usage: perl foreign-xdp.pl INTERFACE
# Attaches an XDP program that passes everything, says so, and takes it off when standard input ends: somebody else's program.
use strict;
use warnings;
use POSIX ();

my %bpf = (x86_64 => 321, aarch64 => 280);
my $bpf = $bpf{(POSIX::uname())[4]} or die "the system call's number is not known for this machine\n";
my ($interface) = @ARGV;
open my $file, '<', "/sys/class/net/$interface/ifindex" or die "$interface: $!\n";
chomp(my $index = <$file>);

# struct bpf_insn { u8 code; u8 registers; s16 offset; s32 immediate }: r0 = XDP_PASS; exit.
my $code = pack('CCsl', 0xb7, 0, 0, 2) . pack('CCsl', 0x95, 0, 0, 0);
my $license = "GPL\0";
my ($prog_load, $link_create, $prog_type_xdp, $attach_type_xdp) = (5, 28, 6, 37);
# union bpf_attr of BPF_PROG_LOAD: type, number of instructions, their address, the license's.
my $load = pack('LLPP', $prog_type_xdp, 2, $code, $license);
my $program = syscall($bpf, $prog_load, $load, length $load);
die "BPF_PROG_LOAD: $!\n" if $program < 0;
my $create = pack('LLLL', $program, $index, $attach_type_xdp, 0);
die "BPF_LINK_CREATE: $!\n" if syscall($bpf, $link_create, $create, length $create) < 0;

$| = 1;
print "attached\n";
1 while <STDIN>;
