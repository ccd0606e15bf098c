#!/usr/bin/env node
import { CliUsageError, parseArguments } from './arguments.js'
import { libraryVersion } from './demo/machine.js'
import { runDemo } from './demo/run.js'
import { runXdpDemo } from './demo/xdp/run.js'
import { runDoctor } from './doctor/run.js'
import { DEMO_HELP, DOCTOR_HELP, HELP } from './help.js'

async function main(): Promise<number> {
  const command = parseArguments(process.argv.slice(2))
  switch (command.name) {
    case 'help':
      process.stdout.write(HELP)
      return 0
    case 'demo-help':
      process.stdout.write(DEMO_HELP)
      return 0
    case 'doctor-help':
      process.stdout.write(DOCTOR_HELP)
      return 0
    case 'version':
      process.stdout.write(`${libraryVersion()}\n`)
      return 0
    case 'demo':
      return runDemo(command)
    case 'doctor':
      return runDoctor(command)
    case 'xdp-demo':
      return runXdpDemo(command)
  }
}

main().then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    const usage = error instanceof CliUsageError
    const text = error instanceof Error ? error.message : String(error)
    process.stderr.write(`wraith-transport: ${text}\n`)
    process.exitCode = usage ? 2 : 1
  },
)
