import { XdpSocket } from 'wraith-transport'

/** What the options of XdpSocket are checked with: its form for native shows what was understood. */
export { readFilter } from '../../dist/ts/xdp/filter.js'
export const { probe, testFilter } = XdpSocket

/** The same for modules that run in processes of their own; what one throws is `thrownBy(() => …)` there. */
export const xdpTools = `
const { probe, testFilter } = XdpSocket
const thrownBy = (act) => {
  try {
    return { returned: act() }
  } catch ({ code, option, message }) {
    return { code, option, message }
  }
}
`
