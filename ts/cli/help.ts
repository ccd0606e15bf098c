import { DEFAULT_SECONDS, DEFAULT_XDP_SECONDS, MOST_SECONDS } from './demo/plan.js'

export const HELP = `Usage: wraith-transport <command> [options]

Commands:
  demo         receive UDP with node:dgram and with UdpSocket, side by side;
               with --xdp also with XdpSocket
  doctor       what is in the way of AF_XDP on this machine, and the commands
               that fix it

Options:
  --help       this text; after a command, the command's
  --version    the version of wraith-transport
`

export const DEMO_HELP = `Usage: wraith-transport demo [options]

Another process sends a StatsD-like stream over loopback. The same handler takes
it from node:dgram and from UdpSocket, in turn, each time in a fresh process and
with the same receive buffer, and either counts bytes or parses StatsD:

  1k/s, 10k/s  packets one by one, evenly spread
  100k/s       evenly spread bursts of 32 packets
  full         bursts as fast as they go (UDP_SEGMENT): far more than dgram can
               take, with the stock receive buffer
  full, big    the same with a larger receive buffer, where one is granted
  one by one   a system call for each packet, as fast as it goes: few packets
               for each wake-up of the receiver, and hardly a difference

Prints where every packet went, what it cost and who won; then shows a forgotten
guard. Nothing leaves this machine.

Options:
  --seconds N  about how long it takes, 1 to ${MOST_SECONDS} (default ${DEFAULT_SECONDS}). Under 25 each
               side runs once a row, not twice or more; 7 s is the least.
  --json       last line of standard output: { "dgram": {…}, "wraith": {…},
               "ratio": {…} }; the rest goes to standard error. The ratios
               packetsPerCpuSecond, heapBytesPerPacket and gcTime are wraith
               over dgram in the rows "full", both kinds of work together.
  --xdp        XdpSocket (AF_XDP) as a third side, over a veth pair between two
               network namespaces that are removed at the end, with the loads
               1k/s to full. Linux; takes root, iproute2 and about ${DEFAULT_XDP_SECONDS} s
               (12 s is the least). The JSON has "xdp" and "xdpRatio" as well.
  --help       this text

Colour is for terminals only; NO_COLOR=1 turns it off.
Exit codes: 0; 1 something failed or a packet is unaccounted for; 2 wrong usage.
`

export const DOCTOR_HELP = `Usage: wraith-transport doctor [options]

Looks at this process, at the limits for UDP, and at each network interface that
is up, as AF_XDP sees it: driver, queues, MTU, offloads and foreign XDP programs
in the way, rights and limits that are missing, and what opening it would give.
Whatever is in the way comes with the command that fixes it. Changes nothing.

Options:
  --interface X  only this interface, whether it is up or not
  --json         last line of standard output: { "ready": …, "process": {…},
                 "udp": {…}, "interfaces": […], "skipped": […] }; the rest goes
                 to standard error
  --help         this text

Run it as the user, and with the rights, that the program will have.
Exit codes: 0 ready; 1 something is in the way, marked blocking; 2 wrong usage.
`
