import { parseArgs } from 'node:util'
import { checkInterface } from '../xdp/probe.js'
import { DEFAULT_SECONDS, DEFAULT_XDP_SECONDS, MOST_SECONDS } from './demo/plan.js'
import type { DemoOptions } from './demo/run.js'
import type { DoctorOptions } from './doctor/run.js'

/** The command line cannot be understood; the message says what and what to do. */
export class CliUsageError extends Error {
  override readonly name = 'CliUsageError'
}

export type Command =
  | { name: 'help' }
  | { name: 'demo-help' }
  | { name: 'doctor-help' }
  | { name: 'version' }
  | ({ name: 'demo' } & DemoOptions)
  | ({ name: 'doctor' } & DoctorOptions)
  | ({ name: 'xdp-demo' } & DemoOptions)

const COMMANDS = ['demo', 'doctor'] as const
const DEMO_OPTIONS = {
  seconds: { type: 'string' },
  json: { type: 'boolean' },
  xdp: { type: 'boolean' },
  help: { type: 'boolean' },
} as const
const DOCTOR_OPTIONS = {
  interface: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
} as const
const PLAIN_OPTIONS = { version: { type: 'boolean' }, help: { type: 'boolean' } } as const

/** @throws CliUsageError */
export function parseArguments(args: readonly string[]): Command {
  const [first, ...rest] = args
  if (first === 'demo') return parseDemo(rest)
  if (first === 'doctor') return parseDoctor(rest)
  if (first !== undefined && !first.startsWith('-')) {
    throw new CliUsageError(`unknown command '${first}': there are ${COMMANDS.join(' and ')}. Try --help.`)
  }
  const values = parse(args, PLAIN_OPTIONS, '')
  return values['version'] === true && values['help'] !== true ? { name: 'version' } : { name: 'help' }
}

function parseDemo(args: readonly string[]): Command {
  const values = parse(args, DEMO_OPTIONS, 'demo ')
  if (values['help'] === true) return { name: 'demo-help' }
  const xdp = values['xdp'] === true
  const given = values['seconds']
  const usual = xdp ? DEFAULT_XDP_SECONDS : DEFAULT_SECONDS
  const seconds = given === undefined ? usual : Number(given === '' ? Number.NaN : given)
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > MOST_SECONDS) {
    throw new CliUsageError(
      `--seconds is '${given}', which is not a whole number from 1 to ${MOST_SECONDS}. Try --seconds 30.`,
    )
  }
  return { name: xdp ? 'xdp-demo' : 'demo', seconds, json: values['json'] === true }
}

function parseDoctor(args: readonly string[]): Command {
  const values = parse(args, DOCTOR_OPTIONS, 'doctor ')
  if (values['help'] === true) return { name: 'doctor-help' }
  const json = values['json'] === true
  const given = values['interface']
  if (given === undefined) return { name: 'doctor', json }
  try {
    return { name: 'doctor', interface: checkInterface(given, '--interface'), json }
  } catch {
    throw new CliUsageError(`--interface is '${given}', which is no interface's name. Try --interface eth0.`)
  }
}

type Options = Record<string, { readonly type: 'string' | 'boolean' }>

/** `parseArgs` with messages of our own: those of Node differ from version to version. */
function parse(
  args: readonly string[],
  options: Options,
  command: string,
): Record<string, string | boolean | undefined> {
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true })
  const values: Record<string, string | boolean | undefined> = {}
  for (const token of tokens) {
    if (token.kind === 'positional') {
      throw new CliUsageError(`unexpected '${token.value}'. Try ${command}--help.`)
    }
    if (token.kind !== 'option') continue
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined
    if (option === undefined)
      throw new CliUsageError(`unknown option '${token.rawName}'. Try ${command}--help.`)
    if (option.type === 'boolean' && token.value !== undefined) {
      throw new CliUsageError(`'${token.rawName}' takes no value. Try ${command}--help.`)
    }
    if (option.type === 'string' && token.value === undefined) {
      throw new CliUsageError(`'${token.rawName}' needs a value. Try ${command}--help.`)
    }
    values[token.name] = token.value ?? true
  }
  return values
}
