// What XdpSocket has as static methods, and what its options are checked with.
export { readFilter } from '../../dist/ts/xdp/filter.js'
export { probe } from '../../dist/ts/xdp/probe.js'
export { testFilter } from '../../dist/ts/xdp/test-filter.js'

/** The same for modules that run in processes of their own; what one throws is `thrownBy(() => …)` there. */
export const xdpTools = `
const { probe } = await import(new URL('./ts/xdp/probe.js', packageUrl))
const { testFilter } = await import(new URL('./ts/xdp/test-filter.js', packageUrl))
const thrownBy = (act) => {
  try {
    return { returned: act() }
  } catch ({ code, option, message }) {
    return { code, option, message }
  }
}
`
