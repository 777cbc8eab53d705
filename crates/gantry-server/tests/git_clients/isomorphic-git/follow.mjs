// Follows a repository with isomorphic-git. The command line that all these programs share: ../main.rs.
import fs from 'node:fs'
import https from 'node:https'
import git, { Errors } from 'isomorphic-git'
import http from 'isomorphic-git/http/node'

const REFUSED = 3
const { GANTRY_GIT_USERNAME: username, GANTRY_GIT_TOKEN: password, GANTRY_GIT_CA } = process.env
const agent = new https.Agent({ ca: fs.readFileSync(GANTRY_GIT_CA) })

// The library asks again after it was refused, unless it is told to give up.
const remote = {
  http: { request: (request) => http.request({ ...request, agent }) },
  onAuth: () => ({ username, password }),
  onAuthFailure: () => undefined,
}

const commands = {
  async list(url) {
    for (const { ref, oid } of await git.listServerRefs({ ...remote, url })) {
      console.log(oid, ref)
    }
  },

  clone: (url, dir, depth) => git.clone({ ...remote, fs, dir, url, depth: depth && Number(depth) }),

  fetch: (dir) => git.fastForward({ ...remote, fs, dir, ref: 'main' }),

  async cat(dir, filepath) {
    const oid = await git.resolveRef({ fs, dir, ref: 'HEAD' })
    const { blob } = await git.readBlob({ fs, dir, oid, filepath })
    process.stdout.write(blob)
  },
}

const [command, ...rest] = process.argv.slice(2)
try {
  await commands[command](...rest)
} catch (error) {
  console.error(error)
  process.exitCode = error instanceof Errors.HttpError && error.data.statusCode === 401 ? REFUSED : 1
}
