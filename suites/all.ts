/** Every area of the catalogue, in its order; the walkthroughs last. */
import type { Area } from '../harness/rules/rule.ts'
import blk from './blk.suite.ts'
import ent from './ent.suite.ts'
import lif from './lif.suite.ts'
import lim from './lim.suite.ts'
import mqm from './mqm.suite.ts'
import mqn from './mqn.suite.ts'
import not from './not.suite.ts'
import nsi from './nsi.suite.ts'
import obs from './obs.suite.ts'
import pid from './pid.suite.ts'
import prc from './prc.suite.ts'
import sha from './sha.suite.ts'
import svk from './svk.suite.ts'
import sys from './sys.suite.ts'
import und from './und.suite.ts'
import uns from './uns.suite.ts'
import walk from './walk.suite.ts'

export const areas: readonly Area[] = [
  ent,
  svk,
  blk,
  und,
  sha,
  mqn,
  mqm,
  lim,
  sys,
  prc,
  nsi,
  lif,
  obs,
  not,
  uns,
  pid,
  walk,
]
