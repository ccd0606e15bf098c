// Makes a pool with the level that the environment asks for, or says how it was refused.
import { BufferPool } from 'wraith-transport'

try {
  console.log(JSON.stringify({ level: new BufferPool({ capacity: 1 }).info().leakDetection }))
} catch ({ code, option, message }) {
  console.log(JSON.stringify({ code, option, message }))
}
