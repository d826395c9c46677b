import { expect, test } from 'vitest'
import { allowedProcessors, Processors } from './processors.ts'

test('the allowed processors are read as the kernel lists them', () => {
  expect(allowedProcessors('Name:\tnode\nCpus_allowed_list:\t0,2-4,9\n')).toEqual([0, 2, 3, 4, 9])
  expect(allowedProcessors().length).toBeGreaterThan(0)
})

test('a guest gets the processor with the fewest, and gives it back however it ends', async () => {
  const processors = new Processors([3, 5])
  const ends: (() => void)[] = []
  const lent: number[] = []
  const guest = () =>
    processors.lend(async (processor) => {
      lent.push(processor)
      await new Promise<void>((end) => ends.push(end))
    })
  const running = [guest(), guest(), guest()]
  expect(lent.slice(0, 2).sort()).toEqual([3, 5])
  const [first, second] = lent
  expect(lent[2]).toBe(first)
  ends[1]?.()
  await running[1]
  running.push(guest(), guest())
  expect(lent.slice(3)).toEqual([second, second])
  for (const end of ends) end()
  await Promise.all(running)
  await expect(
    processors.lend(async () => {
      throw new Error('died')
    }),
  ).rejects.toThrow('died')
})
