import { describe, test } from 'vitest'
import { missingForNamespaces } from '../support/netns.js'
import { viewKinds } from '../support/xdp-ends.js'
import { expectStaleViewsEmpty } from '../support/xdp-stale-view.js'

describe.each(viewKinds)('with views %s', (views) => {
  test('views of batches that have ended are empty while frames come: nothing crashes, nothing is seen', async (context) => {
    const reason = missingForNamespaces()
    if (reason !== undefined) {
      console.warn(reason)
      context.skip(reason)
    }
    await expectStaleViewsEmpty(2, views)
  })
})
