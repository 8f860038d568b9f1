import { nearestName } from '../config/nearest-name.ts'
import { certCommand } from './cert.ts'
import { checkConfigCommand } from './check-config.ts'
import { type Command, UsageError } from './command.ts'
import { doctorCommand } from './doctor.ts'
import { purgeCommand } from './purge.ts'
import { startCommand } from './start.ts'
import { statsCommand } from './stats.ts'
import { warmCommand } from './warm.ts'

const COMMANDS: readonly Command[] = [
  startCommand,
  checkConfigCommand,
  purgeCommand,
  warmCommand,
  statsCommand,
  certCommand,
  doctorCommand,
]

process.exitCode = await main(process.argv.slice(2))

/** 0 = done, 1 = failed, 2 = called in a wrong way. */
async function main(words: readonly string[]): Promise<number> {
  const [name, ...rest] = words
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(overview())
    return name === undefined ? 2 : 0
  }
  const command = COMMANDS.find((candidate) => candidate.name === name)
  if (command === undefined) {
    const nearest = nearestName(
      name,
      COMMANDS.map((candidate) => candidate.name),
    )
    const hint =
      nearest === undefined ? "'larder --help' lists them." : `Did you mean '${nearest}'?`
    process.stderr.write(`There is no command '${name}'. ${hint}\n`)
    return 2
  }
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(command.help)
    return 0
  }
  try {
    return await command.run(rest)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\n'larder ${name} --help' shows how it is used.\n`)
    return 2
  }
}

function overview(): string {
  const width = Math.max(...COMMANDS.map((command) => command.name.length))
  const lines = COMMANDS.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`)
  return `Larder, a caching reverse proxy\n\nUsage: larder <command> [options]\n\n${lines.join('\n')}\n\n'larder <command> --help' says more.\n`
}
