# Usage: perl packet-socket.pl INTERFACE
# A wire for tests: sends each line of standard input, a frame in hexadecimal, as it stands, and prints each frame that the stack gets
# from the interface (packet(7)). Says "ready" first.
use strict;
use warnings;
use Socket qw(SOCK_RAW MSG_DONTWAIT);

my ($AF_PACKET, $ETH_P_ALL, $PACKET_OUTGOING) = (17, 3, 4);
my ($interface) = @ARGV;
open my $file, '<', "/sys/class/net/$interface/ifindex" or die "$interface: $!\n";
chomp(my $index = <$file>);
socket(my $wire, $AF_PACKET, SOCK_RAW, unpack('S', pack('n', $ETH_P_ALL))) or die "socket: $!\n";
# struct sockaddr_ll: family, protocol, index, hardware type, kind of packet, address.
my $address = 'S n l S C C a8';
bind($wire, pack($address, $AF_PACKET, $ETH_P_ALL, $index, 0, 0, 0, '')) or die "bind: $!\n";

$| = 1;
print "ready\n";
my $lines = '';
for (;;) {
    my $ready = '';
    vec($ready, fileno($_), 1) = 1 for \*STDIN, $wire;
    select($ready, undef, undef, undef);
    if (vec($ready, fileno(STDIN), 1)) {
        sysread(STDIN, $lines, 65536, length $lines) or exit;
        while ($lines =~ s/^([0-9a-f]+)\n//) {
            defined send($wire, pack('H*', $1), 0) or die "send: $!\n";
        }
    }
    while (defined(my $from = recv($wire, my $frame, 65536, MSG_DONTWAIT))) {
        print unpack('H*', $frame), "\n" if (unpack $address, $from)[4] != $PACKET_OUTGOING;
    }
}
