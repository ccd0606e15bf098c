// The Cargo feature `xsk-rs` of wraith-transport: AF_XDP over libxdp, to test and measure ours against. It compiles C.

import { cargoFailures, cargoTest, oneCheck } from './counts.mjs'
import { run } from './process.mjs'
import { installDebian, isDebian, lacksPackages } from './system.mjs'

const PACKAGES = ['clang', 'libelf-dev', 'zlib1g-dev', 'm4', 'make', 'pkg-config']

export const FEATURE = 'wraith-transport/xsk-rs'

/** Why the feature cannot be built here, with what to do, or `undefined`. Installs what is missing on Debian as root. */
export async function xskRsProblem(log) {
  const problem = 'the feature xsk-rs compiles libxdp'
  if (process.platform !== 'linux') return `${problem}, which exists on Linux only`
  if (!isDebian)
    return `${problem}; install what Debian calls ${PACKAGES.join(' ')}, and run: cargo test --package wraith-transport --features xsk-rs --test xdp`
  return lacksPackages(PACKAGES) ? installDebian(PACKAGES, log, problem) : undefined
}

/** Some that must be among those that run over xsk-rs: receiving, sending, opening again, and that each frame is accounted for. */
const REQUIRED = [
  'receive::xsk_rs::every_packet_of_a_normal_sender_comes_once_and_whole',
  'send::xsk_rs::frames_arrive_at_a_normal_socket_once_and_whole',
  'send::xsk_rs::received_frames_are_changed_where_they_lie_and_sent_back',
  'lifecycle::xsk_rs::a_hundred_reopenings_all_work',
  'hostile::xsk_rs::forged_descriptors_are_rejected_and_counted',
  'burst::xsk_rs::sent_is_received_and_dropped_by_reason_while_a_thread_receives',
]

const matches = (text, pattern) => [...text.matchAll(pattern)].map((match) => match[1])

/** Lint and tests with the feature. What runs over xsk-rs is counted by name; none of it may be skipped. */
async function withFeature(timeoutMs) {
  const started = performance.now()
  const left = () => Math.max(1, timeoutMs - (performance.now() - started))
  const lint = await run(
    'cargo',
    ['clippy', '--workspace', '--all-targets', '--features', FEATURE, '--quiet', '--', '-D', 'warnings'],
    { timeoutMs: left() },
  )
  const args = ['test', '--package', 'wraith-transport', '--features', 'xsk-rs', '--lib', '--test', 'xdp']
  const list = await run('cargo', [...args, '--', '--list'], { timeoutMs: left() })
  const result = await run('cargo', [...args, '--no-fail-fast'], {
    env: { WRAITH_REQUIRE_PRIVILEGED: '1' },
    timeoutMs: left(),
  })
  const counted = cargoTest(result)
  const wanted = matches(list.stdout, /^(\S*xsk_rs::\S+): test$/gm)
  const passed = new Set(matches(result.stdout, /^test (\S+) \.\.\. ok$/gm))
  const missing = [...new Set([...REQUIRED, ...wanted])].filter((name) => !passed.has(name))
  return {
    passed: counted.passed + Number(lint.code === 0),
    failed: counted.failed + missing.length + Number(lint.code !== 0),
    detail: `${wanted.length - missing.length} of ${wanted.length} tests over xsk-rs by name; ${counted.detail}`,
    output: [
      ...missing.map((name) => `did not pass: ${name}`),
      lint.code === 0 ? '' : lint.output,
      counted.failed > 0 ? cargoFailures(result.output) : '',
    ].join('\n'),
  }
}

/** Where it cannot run, CI fails; a developer is told what to do. */
export async function overXskRs(timeoutMs) {
  const root = process.getuid?.() === 0
  const detail = root
    ? await xskRsProblem((text) => console.log(`  ${text}`))
    : [
        await xskRsProblem(() => {}),
        'network namespaces take root; run: sudo -E npm run test:deep -- --only xsk-rs',
      ]
        .filter(Boolean)
        .join('; ')
  if (detail === undefined) return withFeature(timeoutMs)
  return process.env.CI === 'true' ? oneCheck(false, detail) : { passed: 0, failed: 0, detail, notRun: true }
}
