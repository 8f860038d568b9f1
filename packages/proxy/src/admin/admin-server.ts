import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import swagger from '@fastify/swagger'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { formatAddress } from '../config/address.ts'
import type { ListenerConfig } from '../config/config.ts'
import type { Logger } from '../observability/logger.ts'
import { hostsOf } from '../supervisor/listening-sockets.ts'
import type { Supervisor } from '../supervisor/supervisor.ts'
import { Authentication, type Caller, roleReaches } from './authentication.ts'
import { crossSiteReason } from './browser-guard.ts'
import { MAX_BODY_BYTES, parseJsonBody } from './json-body.ts'
import { sendProblem } from './problem-details.ts'
import { registerRoutes } from './routes.ts'

export interface AdminServer {
  /** Where it listens, with real ports. */
  readonly addresses: readonly string[]
  close(): Promise<void>
}

declare module 'fastify' {
  interface FastifyRequest {
    /** undefined on the routes that are open to everyone, when no valid token came. */
    caller: Caller | undefined
  }
  interface FastifyContextConfig {
    /** Least role; 'anyone' for what a load balancer asks. */
    access?: 'anyone' | 'read' | 'purge' | 'certificates' | 'admin'
    /** Whether a token of one tenant may use it. */
    tenantMayUse?: boolean
  }
}

/** The admin API in the primary. */
export async function startAdminServer(
  supervisor: Supervisor,
  listeners: readonly ListenerConfig[],
  logger: Logger,
): Promise<AdminServer> {
  const app = await buildApp(supervisor, logger)
  const servers: Server[] = []
  const addresses: string[] = []
  const close = async () => {
    for (const server of servers) {
      server.close()
      server.closeAllConnections()
    }
    await app.close()
  }
  try {
    for (const listener of listeners) {
      for (const [index, host] of hostsOf(listener).entries()) {
        const server = createAdminListener(app)
        const isOpen = await listen(server, host, listener.port, index > 0)
        if (!isOpen) continue
        servers.push(server)
        // A server that listens on TCP has an address with a port.
        const { port } = server.address() as AddressInfo
        addresses.push(formatAddress(host, port))
      }
    }
  } catch (error) {
    await close()
    throw error
  }
  return { addresses, close }
}

async function buildApp(supervisor: Supervisor, logger: Logger): Promise<FastifyInstance> {
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    routerOptions: { maxParamLength: 256 },
    // Fastify would drop unknown members and turn texts into numbers; a caller is told instead.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  })
  const authentication = new Authentication()
  app.decorateRequest('caller', undefined)
  app.addHook('onRequest', async (request, reply) => {
    const refused = refuse(supervisor, authentication, request, reply)
    if (refused !== undefined) return refused
  })
  app.addHook('onResponse', async (request, reply) => {
    if (request.method === 'GET' || request.method === 'HEAD') return
    logger.info(
      {
        audit: true,
        caller: request.caller?.name ?? 'unknown',
        peer: request.ip,
        method: request.method,
        // The route, not the URL: what a caller makes up stays out of the log.
        route: request.routeOptions.url ?? 'unknown',
        status: reply.statusCode,
      },
      'admin API called',
    )
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'string' },
    async (_request: FastifyRequest, body: string) => (body === '' ? null : parseJsonBody(body)),
  )
  app.setNotFoundHandler((_request, reply) =>
    sendProblem(reply, 404, 'There is no such resource. GET /api/v1/openapi.json lists them.'),
  )
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) logger.error({ err: error }, 'admin API failed')
    const detail =
      status >= 500 ? 'This is a mistake of the proxy; its log says more.' : error.message
    return sendProblem(reply, status, detail)
  })
  await app.register(swagger, {
    openapi: {
      info: { title: 'Larder admin API', version: '1' },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
  })
  await app.register(async (scope) => registerRoutes(scope, supervisor, logger))
  await app.ready()
  return app
}

function refuse(
  supervisor: Supervisor,
  authentication: Authentication,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply | undefined {
  const { tokens } = supervisor.config.admin
  const { access = 'admin', tenantMayUse = false } = request.routeOptions.config
  const { headers } = request
  const crossSite = crossSiteReason(
    {
      host: headers.host,
      origin: headers.origin,
      secFetchSite: one(headers['sec-fetch-site']),
    },
    tokens.length === 0 && access !== 'anyone',
  )
  if (crossSite !== undefined) return sendProblem(reply, 403, crossSite)
  // Checks of a load balancer are no attempts to get in.
  if (access === 'anyone' && headers.authorization === undefined && tokens.length > 0) return
  const verdict = authentication.check(
    tokens,
    headers.authorization,
    request.socket.remoteAddress ?? '',
  )
  if (!verdict.ok) {
    if (access === 'anyone') return
    if (verdict.status === 401) reply.header('www-authenticate', 'Bearer realm="larder"')
    if (verdict.status === 429) reply.header('retry-after', '60')
    return sendProblem(reply, verdict.status, verdict.detail)
  }
  request.caller = verdict.caller
  const { role, tenant } = verdict.caller
  if (access !== 'anyone' && !roleReaches(role, access)) {
    return sendProblem(reply, 403, `This needs the role ${access}; the token has ${role}.`)
  }
  if (tenant !== undefined && !tenantMayUse && access !== 'anyone') {
    return sendProblem(reply, 403, 'This is about all tenants; the token is for one.')
  }
  return undefined
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

function createAdminListener(app: FastifyInstance): Server {
  const server = createServer(
    { requestTimeout: 30_000, headersTimeout: 10_000 },
    (request, response) => app.routing(request, response),
  )
  server.maxConnections = 512
  server.maxHeadersCount = 64
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
  })
  return server
}

/** False when the second family of `localhost` is missing on this machine. */
function listen(server: Server, host: string, port: number, optional: boolean): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const isMissing = error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT'
      if (optional && isMissing) resolve(false)
      else reject(new Error(listenMessage(host, port, error)))
    })
    server.listen({ host, port, ipv6Only: host.includes(':') }, () => resolve(true))
  })
}

function listenMessage(host: string, port: number, error: NodeJS.ErrnoException): string {
  const cure =
    error.code === 'EADDRINUSE' ? "Another process has it: 'ss -ltnp' shows which." : 'Is it right?'
  return `Cannot listen on ${formatAddress(host, port)} for the admin API (${error.code}). ${cure}`
}
