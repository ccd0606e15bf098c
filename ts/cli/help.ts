import { DEFAULT_SECONDS, MOST_SECONDS } from './demo/plan.js'

export const HELP = `Usage: wraith-transport <command> [options]

Commands:
  demo         receive UDP with node:dgram and with UdpSocket, side by side

Options:
  --help       this text; after a command, the command's
  --version    the version of wraith-transport
`

export const DEMO_HELP = `Usage: wraith-transport demo [options]

Another process sends a StatsD-like stream over loopback at 1k/s, at 10k/s and
at full rate. The same handler takes it from node:dgram and from UdpSocket, in
turn, each time in a fresh process and with the same receive buffer, and either
counts bytes or parses StatsD. Two more rows: a larger receive buffer, and a
thread that other work holds, so that packets wait. Prints where every packet
went, what it cost and who won; then shows a forgotten guard. Nothing leaves
this machine.

Options:
  --seconds N  about how long it takes, 1 to ${MOST_SECONDS} (default ${DEFAULT_SECONDS}). Under 25 each
               side runs once a row, not twice or more; 5 s is the least.
  --json       last line of standard output: { "dgram": {…}, "wraith": {…},
               "ratio": {…} }; the rest goes to standard error. A ratio is
               wraith over dgram at full rate, with the stock receive buffer.
  --help       this text

Colour is for terminals only; NO_COLOR=1 turns it off.
Exit codes: 0; 1 something failed or a packet is unaccounted for; 2 wrong usage.
`
