/** POSIX named semaphores (sem_overview(7)) by libc, which keeps them as files in /dev/shm. */
import { bind, bindRaw, failWithErrno } from '../system.ts'
import { cString } from './structures.ts'

const libc = {
  sem_open: bindRaw<[Buffer, number, number, number]>(
    'uintptr_t sem_open(void *name, int flags, unsigned int mode, unsigned int value)',
  ),
  sem_post: bind<[number]>('int sem_post(uintptr_t semaphore)'),
  sem_trywait: bind<[number]>('int sem_trywait(uintptr_t semaphore)'),
  sem_unlink: bind<[Buffer]>('int sem_unlink(void *name)'),
}

export const namedSemaphoreOperations = {
  /** sem_open(3) of an existing semaphore, or with O_CREAT|O_EXCL and a first value; gives its address. */
  sem_open: (name: string, flags: number, value = 0): number => {
    const address = Number(libc.sem_open(cString(name), flags, 0o600, value))
    return address === 0 ? failWithErrno() : address
  },
  /** sem_post(3). */
  sem_post: (semaphore: number): number => libc.sem_post(semaphore),
  /** sem_trywait(3). */
  sem_trywait: (semaphore: number): number => libc.sem_trywait(semaphore),
  /** sem_unlink(3). */
  sem_unlink: (name: string): number => libc.sem_unlink(cString(name)),
}
