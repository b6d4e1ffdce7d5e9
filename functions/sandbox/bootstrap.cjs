// Runs a Node.js function over the AWS Lambda Runtime API.
//
// The interpreter is started ahead of time. It loads what most functions need, says so on file descriptor 3, reads from
// there, as one line of JSON, which function it is to be, and from then on takes one event after the other.
'use strict';

const fs = require('fs');
const net = require('net');
const path = require('path');
const util = require('util');
const { Console } = require('console');
const { Module, createRequire } = require('module');
const { Writable } = require('stream');
const { pathToFileURL } = require('url');
const vm = require('vm');
for (const ahead of ['assert', 'buffer', 'crypto', 'dns', 'events', 'http', 'https', 'os', 'querystring', 'stream/promises', 'timers/promises', 'tls', 'zlib']) {
  require(ahead);
}

const CONTROL = 3;
const TASK = '/var/task';
const API = '/2018-06-01/runtime/';
const MAX_ANSWER = 6 << 20;
const REJECTED = 128;
const UNCAUGHT = 129;

// One connection to the Runtime API. While no request is under way it does not keep the process from being done, so
// that a handler can wait for its event loop to be empty.
class RuntimeClient {
  constructor(address) {
    const [host, port] = address.split(':');
    this.received = Buffer.alloc(0);
    this.pending = null;
    this.socket = net.connect({ host, port: Number(port), noDelay: true });
    this.socket.on('data', (chunk) => this.take(chunk));
    this.socket.on('error', () => process.exit(1)); // PID 1 has gone: nobody is there to be told
  }

  connected() {
    return new Promise((resolve) => this.socket.once('connect', resolve));
  }

  next() {
    return this.send(`GET ${API}invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n`);
  }

  post(where, body, headers = {}) {
    return this.send(this.head(where, { 'Content-Length': body.length, ...headers }), body);
  }

  head(where, headers) {
    const lines = Object.entries({ Host: 'runtime', 'Content-Type': 'application/json', ...headers });
    return `POST ${API}${where} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  }

  send(head, body) {
    this.write(head, body);
    return this.answer();
  }

  write(head, body) {
    this.socket.cork();
    this.socket.write(head);
    if (body) this.socket.write(body);
    this.socket.uncork();
  }

  answer() {
    this.socket.ref();
    return new Promise((resolve) => { this.pending = resolve; });
  }

  take(chunk) {
    this.received = this.received.length === 0 ? chunk : Buffer.concat([this.received, chunk]);
    const end = this.received.indexOf('\r\n\r\n');
    if (end < 0) return;
    const lines = this.received.toString('latin1', 0, end).split('\r\n');
    const headers = {};
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const whole = end + 4 + Number(headers['content-length'] || 0);
    if (this.received.length < whole) return;
    const body = this.received.subarray(end + 4, whole);
    this.received = this.received.subarray(whole);
    this.socket.unref();
    this.pending({ status: Number(lines[0].split(' ')[1]), headers, body });
  }
}

// An error with a type of the platform's.
class Fault extends Error {
  constructor(kind, message, cause) {
    super(message);
    this.name = kind;
    this.stack = cause && cause.stack ? cause.stack : `${kind}: ${message}`;
  }
}

// The error document of whatever was thrown.
function describe(error) {
  if (util.types.isNativeError(error) || error instanceof Error) {
    return { errorType: String(error.name), errorMessage: String(error.message), trace: ownFrames(String(error.stack || '')) };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

// ownFrames leaves the frames of this file and of the interpreter out of a stack.
function ownFrames(stack) {
  return stack
    .replace(/(\n +at new Promise \(<anonymous>\))?\n +at [^\n]*\/var\/runtime\/[^]*$/, '')
    .split('\n')
    .filter((line) => !/^ +at .*node:internal/.test(line));
}

// console as functions know it: each line begins with time, request and level.
let requestId = '';

function patchConsole() {
  const out = new Console({ stdout: process.stdout, stderr: process.stdout });
  const print = (level) => (...args) => {
    process.stdout.write(`${new Date().toISOString()}\t${requestId}\t${level}\t${util.format(...args)}\n`);
  };
  for (const name of ['dir', 'dirxml', 'table', 'group', 'groupEnd', 'count', 'time', 'timeEnd', 'timeLog', 'assert']) {
    console[name] = out[name].bind(out);
  }
  Object.assign(console, { log: print('INFO'), info: print('INFO'), debug: print('DEBUG'), warn: print('WARN'), error: print('ERROR') });
  console.trace = (...args) => print('TRACE')(new Error(util.format(...args)).stack);
  console.fatal = print('FATAL');
}

function logError(title, document, kind) {
  const { errorType, errorMessage, trace } = document;
  process.stdout.write(`${new Date().toISOString()}\t${requestId}\tERROR\t${title} \t${JSON.stringify({ errorType: kind || errorType, errorMessage, stack: trace })}\n`);
}

// Streamed answers. What is written goes to the Runtime API in chunks as it comes; an error half way is told at the end.
const STREAMED = Symbol('streamed');

class ResponseStream extends Writable {
  constructor(client, id) {
    super();
    this.client = client;
    this.id = id;
    this.type = 'application/octet-stream';
    this.begun = false;
  }

  setContentType(type) {
    this.type = type;
  }

  begin() {
    if (this.begun) return;
    this.begun = true;
    this.client.socket.ref();
    this.client.write(this.client.head(`invocation/${this.id}/response`, {
      'Content-Type': this.type,
      'Lambda-Runtime-Function-Response-Mode': 'streaming',
      'Transfer-Encoding': 'chunked',
      Trailer: 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body',
    }));
  }

  _write(chunk, encoding, done) {
    this.begin();
    if (chunk.length === 0) return done();
    this.client.socket.cork();
    this.client.socket.write(`${chunk.length.toString(16)}\r\n`);
    this.client.socket.write(chunk);
    this.client.socket.write('\r\n', done);
    this.client.socket.uncork();
  }

  // close ends the answer; failed is the document of an error that came when a part had left already.
  close(failed) {
    this.begin();
    let trailers = '';
    if (failed) {
      const body = Buffer.from(JSON.stringify(failed)).toString('base64');
      trailers = `Lambda-Runtime-Function-Error-Type: ${headerText(failed.errorType)}\r\nLambda-Runtime-Function-Error-Body: ${body}\r\n`;
    }
    return this.client.send(`0\r\n${trailers}\r\n`);
  }
}

function headerText(text) {
  return text.replace(/[^\x20-\x7e]/g, '?');
}

globalThis.awslambda = {
  streamifyResponse(handler) {
    handler[STREAMED] = true;
    return handler;
  },
  HttpResponseStream: {
    // from begins an HTTP answer: status and headers first, as JSON, then eight zero bytes, then the body.
    from(stream, metadata) {
      stream.setContentType('application/vnd.awslambda.http-integration-response');
      stream.write(Buffer.concat([Buffer.from(JSON.stringify(metadata)), Buffer.alloc(8)]));
      return stream;
    },
  },
};

function newContext(headers) {
  const env = process.env;
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  return {
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: undefined,
    identity: undefined,
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
  };
}

// What ends the call under way when the event loop has nothing left to do.
let onEmpty = () => {};

// run calls the handler and settles with what it returns or gives to its callback.
function run(handler, event, context) {
  return new Promise((resolve, reject) => {
    let given = null;
    const settle = () => (given.error ? reject(given.error) : resolve(given.result));
    const callback = (error, result) => {
      if (given) return;
      given = { error: error === undefined ? null : error, result };
      if (!context.callbackWaitsForEmptyEventLoop || given.error) settle();
    };
    context.done = callback;
    context.succeed = (result) => { context.callbackWaitsForEmptyEventLoop = false; callback(null, result); };
    context.fail = (error) => { context.callbackWaitsForEmptyEventLoop = false; callback(error || new Error('handled')); };
    onEmpty = () => (given ? settle() : resolve(null));
    const returned = handler(event, context, callback);
    if (returned && typeof returned.then === 'function') returned.then(resolve, reject);
  });
}

// stream calls a handler that writes its answer.
async function stream(client, handler, event, context) {
  const id = context.awsRequestId;
  const out = new ResponseStream(client, id);
  const ended = new Promise((resolve, reject) => {
    out.once('finish', resolve);
    out.once('error', reject);
  });
  const idle = new Promise((resolve) => { onEmpty = resolve; });
  try {
    await Promise.race([handler(event, out, context), idle, ended.then(() => idle)]);
    if (!out.writableEnded) out.end();
    await ended;
  } catch (error) {
    const document = describe(error);
    logError('Invoke Error', document);
    if (!out.begun) return fail(client, id, document);
    return out.close(document);
  }
  return out.close();
}

function fail(client, id, document, kind) {
  return client.post(`invocation/${id}/error`, Buffer.from(JSON.stringify({ ...document, errorType: kind || document.errorType })), {
    'Lambda-Runtime-Function-Error-Type': headerText(kind || document.errorType),
  });
}

function encode(result) {
  let text;
  try {
    text = JSON.stringify(result === undefined ? null : result);
  } catch (error) {
    throw new Fault('Runtime.MarshalError', `Unable to stringify response body: ${error.message}`, error);
  }
  const body = Buffer.from(text === undefined ? 'null' : text);
  if (body.length > MAX_ANSWER) {
    throw new Fault('Function.ResponseSizeTooLarge', `Response payload size exceeded maximum allowed payload size (${MAX_ANSWER} bytes).`);
  }
  return body;
}

async function call(client, handler, { headers, body }) {
  const context = newContext(headers);
  requestId = context.awsRequestId;
  try {
    const event = JSON.parse(body.toString());
    if (handler[STREAMED]) {
      await stream(client, handler, event, context);
      return;
    }
    const answer = encode(await run(handler, event, context));
    await client.post(`invocation/${requestId}/response`, answer);
  } catch (error) {
    const document = describe(error);
    logError('Invoke Error', document);
    await fail(client, requestId, document);
  }
}

async function serve(client, handler) {
  for (;;) {
    const event = await client.next();
    if (event.status !== 200) throw new Error(`the Runtime API answered ${event.status}: ${event.body}`);
    await call(client, handler, event);
    onEmpty = () => {};
  }
}

// An error that nobody caught ends the process, with the call under way or with loading the code.
function watch(client) {
  const end = (status) => async (error) => {
    const kind = status === REJECTED ? 'Runtime.UnhandledPromiseRejection' : undefined;
    const document = describe(error);
    logError(kind ? 'Unhandled Promise Rejection' : 'Uncaught Exception', document, kind);
    const posted = requestId
      ? fail(client, requestId, document, kind)
      : client.post('init/error', Buffer.from(JSON.stringify({ ...document, errorType: kind || document.errorType })), { 'Lambda-Runtime-Function-Error-Type': headerText(kind || document.errorType) });
    await posted;
    process.exit(status);
  };
  process.on('uncaughtException', end(UNCAUGHT));
  process.on('unhandledRejection', end(REJECTED));
  process.on('beforeExit', () => onEmpty());
}

// locate finds the file of a module and tells whether it is an ECMAScript module.
function locate(module) {
  const base = path.join(TASK, module);
  for (const end of ['', '.js', '.mjs', '.cjs']) {
    const file = base + end;
    if (fs.existsSync(file) && fs.statSync(file).isFile()) return { file, isModule: isModule(file) };
  }
  return { file: base, isModule: false };
}

function isModule(file) {
  if (file.endsWith('.mjs')) return true;
  if (!file.endsWith('.js')) return false;
  for (let dir = path.dirname(file); dir.startsWith(TASK); dir = path.dirname(dir)) {
    const manifest = path.join(dir, 'package.json');
    if (fs.existsSync(manifest)) return JSON.parse(fs.readFileSync(manifest, 'utf8')).type === 'module';
  }
  return false;
}

// load imports the module of module.function and returns the function; function may be a path into its exports.
async function load(name) {
  const [, module, names] = /^((?:.*\/)?[^./]+)\.(.+)$/.exec(name);
  const { file, isModule } = locate(module);
  let found;
  try {
    found = isModule ? await import(pathToFileURL(file)) : createRequire(path.join(TASK, '_'))(file);
  } catch (error) {
    if (error instanceof SyntaxError) throw new Fault('Runtime.UserCodeSyntaxError', `SyntaxError: ${error.message}`, error);
    if (error && (error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND')) {
      throw new Fault('Runtime.ImportModuleError', `Error: ${error.message}`, error);
    }
    throw error;
  }
  for (const part of names.split('.')) found = found === null || found === undefined ? undefined : found[part];
  if (typeof found !== 'function') throw new Fault('Runtime.HandlerNotFound', `${name} is undefined or not exported`);
  return found;
}

// sources lists the files to be parsed; what packages brought is their authors' to answer for.
function sources(dir) {
  const found = [];
  for (const entry of fs.readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const file = path.join(dir, entry.name);
    if (entry.isDirectory() && entry.name !== 'node_modules' && !entry.name.startsWith('.')) found.push(...sources(file));
    else if (entry.isFile() && /\.[cm]?js$/.test(entry.name)) found.push(file);
  }
  return found;
}

// check parses every source file and throws a Fault with what the interpreter says. Only a process of its own parses modules.
function check() {
  const modules = [];
  for (const file of sources(TASK)) {
    if (isModule(file)) modules.push(file);
    else checkScript(file);
  }
  for (const file of modules) {
    const { status, stderr } = require('child_process').spawnSync(process.execPath, ['--check', file], { encoding: 'utf8' });
    if (status !== 0) throw new Fault('Runtime.UserCodeSyntaxError', parserText(file, stderr));
  }
}

function checkScript(file) {
  const source = fs.readFileSync(file, 'utf8').replace(/^#!.*/, '');
  try {
    new vm.Script(Module.wrap(source), { filename: file });
  } catch (error) {
    throw new Fault('Runtime.UserCodeSyntaxError', parserText(file, String(error.stack)));
  }
}

// parserText keeps of what the interpreter says the place, the line and the error.
function parserText(file, text) {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !/^(\s+at |Node\.js v)/.test(line));
  return lines.join('\n').replaceAll(`${TASK}/`, '').replaceAll('file://', '');
}

async function prepare(client, binding) {
  try {
    if (binding.check) {
      check();
      return null;
    }
    Object.assign(process.env, binding.env, { _HANDLER: binding.handler });
    process.chdir(TASK);
    patchConsole();
    return await load(binding.handler);
  } catch (error) {
    const document = describe(error);
    if (!binding.check) logError('Uncaught Exception', document);
    await client.post('init/error', Buffer.from(JSON.stringify(document)), { 'Lambda-Runtime-Function-Error-Type': headerText(document.errorType) });
    return process.exit(1);
  }
}

// readBinding waits for one line on the control descriptor.
function readBinding() {
  const parts = [];
  const buffer = Buffer.alloc(64 << 10);
  for (;;) {
    const n = fs.readSync(CONTROL, buffer);
    if (n === 0) process.exit(0);
    parts.push(Buffer.from(buffer.subarray(0, n)));
    if (buffer[n - 1] === 10) break;
  }
  fs.closeSync(CONTROL);
  return JSON.parse(Buffer.concat(parts).toString());
}

async function main() {
  const client = new RuntimeClient(process.env.AWS_LAMBDA_RUNTIME_API);
  await client.connected();
  new vm.Script(Module.wrap('JSON.parse("{}")')); // warms the parser
  fs.writeSync(CONTROL, 'ready\n');
  const binding = readBinding();
  watch(client);
  await serve(client, await prepare(client, binding));
}

main();
