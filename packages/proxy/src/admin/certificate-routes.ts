import { canonicalName, readFacts } from '@larder/certs'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Logger } from '../observability/logger.ts'
import { commonNames } from '../supervisor/certificates/check-set.ts'
import { describeSet } from '../supervisor/certificates/describe-set.ts'
import { HostOwners } from '../supervisor/certificates/host-owners.ts'
import type { KnownSet } from '../supervisor/certificates/known-set.ts'
import { ADMIN_ID } from '../supervisor/certificates/name-index.ts'
import { StoreUnavailable } from '../supervisor/certificates/set-store.ts'
import { CertificateRefused } from '../supervisor/certificates/stored-sets.ts'
import type { Supervisor } from '../supervisor/supervisor.ts'
import { sendProblem } from './problem-details.ts'

const DEFAULT_LIMIT = 1_000
const MAX_LIMIT = 10_000
/** Of sets on a page that have not been read yet, so many are. */
const MAX_READS = 100
const MAX_PEM = 256 * 1024
const NAME = /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)*[a-z0-9_](?:[a-z0-9_-]{0,62})$/

const pair = {
  certificate: Type.String({
    maxLength: MAX_PEM,
    description: 'PEM: the certificate, then its chain.',
  }),
  privateKey: Type.String({ maxLength: MAX_PEM, description: 'PEM: its private key.' }),
}

interface WrittenPair {
  readonly certificate: string
  readonly privateKey: string
}

interface PutBody extends WrittenPair {
  readonly also?: readonly WrittenPair[]
}

/** Certificates by HTTP: what there is, and what is put and taken away by name. */
export function registerCertificateRoutes(
  app: FastifyInstance,
  supervisor: Supervisor,
  logger: Logger,
): void {
  const { certificates } = supervisor
  const owners = ownersOf(supervisor)
  app.get(
    '/api/v1/certificates',
    {
      config: { access: 'read', tenantMayUse: true },
      schema: {
        summary: 'Certificates by name; those of its own hosts for a token of one tenant.',
        querystring: Type.Object(
          {
            name: Type.Optional(Type.String({ description: 'Only those that answer this name.' })),
            after: Type.Optional(Type.String({ description: 'What `next` said.' })),
            limit: Type.Optional(
              Type.String({
                pattern: '^[1-9][0-9]{0,4}$',
                description: `How many at most: ${DEFAULT_LIMIT} without it, up to ${MAX_LIMIT}.`,
              }),
            ),
          },
          { additionalProperties: false },
        ),
      },
    },
    async (
      request: FastifyRequest<{ Querystring: { name?: string; after?: string; limit?: string } }>,
    ) => {
      const { name, after = '', limit = `${DEFAULT_LIMIT}` } = request.query
      const tenant = request.caller?.tenant
      const shown = (set: KnownSet) =>
        tenant === undefined ? set.names : owners().namesOf(tenant, set.names)
      const sets = name === undefined ? certificates.index.sets : certificates.answering(name)
      const all = [...sets]
        .filter((set) => set.id > after && (tenant === undefined || shown(set).length > 0))
        .sort((a, b) => (a.id < b.id ? -1 : 1))
      const page = all.slice(0, Math.min(MAX_LIMIT, Number(limit)))
      await certificates.readAhead(page, MAX_READS)
      const now = certificates.now()
      return {
        certificates: page.map((set) => describeSet(set, shown(set), now)),
        next: all.length > page.length ? page[page.length - 1].id : null,
      }
    },
  )
  app.put(
    '/api/v1/certificates/:name',
    {
      config: { access: 'certificates', tenantMayUse: true },
      schema: {
        summary:
          'Stores a certificate and its key for the name and all others of the certificate; every worker serves it when the answer comes. With a token of one tenant: for those of its hosts.',
        body: Type.Object(
          {
            ...pair,
            also: Type.Optional(
              Type.Array(Type.Object(pair, { additionalProperties: false }), {
                maxItems: 1,
                description: 'For the same names, with a key of the other kind (ECDSA, RSA).',
              }),
            ),
          },
          { additionalProperties: false },
        ),
      },
    },
    async (request: FastifyRequest<{ Params: { name: string }; Body: PutBody }>, reply) => {
      const name = canonicalName(request.params.name)
      if (!NAME.test(name)) return notAName(reply)
      const refused = foreign(name, request)
      if (refused !== undefined) return sendProblem(reply, 403, refused)
      const { body } = request
      const written = [body, ...(body.also ?? [])]
      const pairs = written.map((one) => ({
        certPem: one.certificate,
        keyPem: one.privateKey,
      }))
      const id = ADMIN_ID + name
      const isNew = certificates.stored.get(id) === undefined
      return attempt(reply, async () => {
        const names = namesFor(name, body.certificate, request)
        const version = await certificates.vault.commit(id, names, pairs)
        logger.info(
          { audit: true, caller: request.caller?.name, name, version },
          'certificate stored',
        )
        const set = certificates.stored.get(id)
        const described = set === undefined ? {} : describeSet(set, names, certificates.now())
        return reply
          .status(isNew ? 201 : 200)
          .send({ ...described, version, shared: certificates.isShared })
      })
    },
  )
  app.delete(
    '/api/v1/certificates/:name',
    {
      config: { access: 'certificates', tenantMayUse: true },
      schema: {
        summary: 'Takes away what was put by this name; other sources answer from then on.',
      },
    },
    async (request: FastifyRequest<{ Params: { name: string } }>, reply) => {
      const name = canonicalName(request.params.name)
      if (!NAME.test(name)) return notAName(reply)
      const refused = foreign(name, request)
      if (refused !== undefined) return sendProblem(reply, 403, refused)
      return attempt(reply, async () => {
        if (!(await certificates.stored.remove(ADMIN_ID + name))) {
          return sendProblem(reply, 404, 'Nothing was put by this name.')
        }
        logger.info({ audit: true, caller: request.caller?.name, name }, 'certificate removed')
        return reply.status(204).send()
      })
    },
  )

  /** Why the caller may not change what is put by this name. */
  function foreign(name: string, { caller }: FastifyRequest): string | undefined {
    const tenant = caller?.tenant
    if (tenant === undefined) return undefined
    const before = certificates.stored.get(ADMIN_ID + name)
    const all = [name, ...(before?.names ?? [])]
    const other = all.find((one) => owners().namesOf(tenant, [one]).length === 0)
    return other === undefined ? undefined : `'${other}' is not of the tenant ${tenant}.`
  }

  /** What the set is to answer: the names of the certificate, of which a tenant has its own. */
  function namesFor(name: string, certPem: string, { caller }: FastifyRequest): string[] {
    let names: string[]
    try {
      names = commonNames([readFacts(certPem)])
    } catch {
      // The check that follows says what is wrong with it.
      return [name]
    }
    const tenant = caller?.tenant
    const own = tenant === undefined ? names : owners().namesOf(tenant, names)
    // A name that the certificate does not have is refused with those that it has.
    return own.includes(name) ? own : [name, ...own]
  }
}

/** Of the configuration in force. */
function ownersOf(supervisor: Supervisor): () => HostOwners {
  let tenants = supervisor.config.tenants
  let owners = new HostOwners(tenants)
  return () => {
    if (supervisor.config.tenants !== tenants) {
      tenants = supervisor.config.tenants
      owners = new HostOwners(tenants)
    }
    return owners
  }
}

async function attempt(
  reply: FastifyReply,
  work: () => Promise<FastifyReply>,
): Promise<FastifyReply> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof CertificateRefused) return sendProblem(reply, 422, error.message)
    if (error instanceof StoreUnavailable) return sendProblem(reply, 503, error.message)
    throw error
  }
}

function notAName(reply: FastifyReply): FastifyReply {
  return sendProblem(reply, 400, "The name is a host name, or '*.' in front of one.")
}
