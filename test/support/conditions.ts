/** Lets tests wait for what they expect instead of for time to pass. */
export class Conditions {
  #watchers: (() => void)[] = []
  #failure: Error | null = null

  /** Call after every change that a condition could depend on. */
  changed(): void {
    const watchers = this.#watchers
    this.#watchers = []
    for (const watcher of watchers) watcher()
  }

  /** Nothing will change any more: those who still wait are told. */
  ended(message: string): void {
    this.#failure ??= new Error(message)
    this.changed()
  }

  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (condition()) resolve()
        else if (this.#failure !== null) reject(this.#failure)
        else this.#watchers.push(check)
      }
      check()
    })
  }
}
