// usage: node round_trip.cjs BUCKET PREFIX FILE, with the endpoint and credentials in the environment.
// Every step with the SDK's defaults; fails at the first that is not right.
const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const { createReadStream, readFileSync } = require('node:fs');
const { Readable } = require('node:stream');
const sdk = require('@aws-sdk/client-s3');
const { Upload } = require('@aws-sdk/lib-storage');
const { getSignedUrl } = require('@aws-sdk/s3-request-presigner');

const [Bucket, prefix, file] = process.argv.slice(2);
const client = new sdk.S3Client({ forcePathStyle: true });
const body = readFileSync(file);
const small = body.subarray(0, 100_000);

const at = (name) => ({ Bucket, Key: `${prefix}/${name}` });
const send = (command, input) => client.send(new sdk[`${command}Command`](input));
const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

async function same(name, expected) {
  const hash = createHash('sha256');
  for await (const piece of (await send('GetObject', at(name))).Body) hash.update(piece);
  assert.equal(hash.digest('hex'), digest(expected), `${name} came back changed`);
}

async function objects() {
  await send('PutObject', { ...at('small'), Body: small, Metadata: { colour: 'blue' }, ContentType: 'text/x-test' });
  const got = await send('GetObject', at('small'));
  assert.equal(digest(await got.Body.transformToByteArray()), digest(small));
  assert.deepEqual([got.Metadata, got.ContentType, got.ContentLength], [{ colour: 'blue' }, 'text/x-test', small.length]);
  const range = await send('GetObject', { ...at('small'), Range: 'bytes=65530-65545' });
  assert.deepEqual(Buffer.from(await range.Body.transformToByteArray()), small.subarray(65530, 65546));
  await send('PutObject', { ...at('file'), Body: createReadStream(file), ContentLength: body.length });
  await same('file', body);
}

async function multipart() {
  await new Upload({ client, params: { ...at('parts'), Body: createReadStream(file) } }).done();
  await same('parts', body);
  const pieces = (function* () { for (let i = 0; i < body.length; i += 1 << 20) yield body.subarray(i, i + (1 << 20)); })();
  await new Upload({ client, partSize: 6 << 20, params: { ...at('stream'), Body: Readable.from(pieces) } }).done();
  await same('stream', body);
  await new Upload({ client, params: { ...at('short'), Body: Readable.from([small]) } }).done();
  await same('short', small);
}

async function copied() {
  await send('CopyObject', { ...at('copy'), CopySource: `${Bucket}/${encodeURI(prefix)}/parts` });
  await same('copy', body);
}

async function presigned() {
  // By default the URL holds the checksum of an empty body, which no upload matches.
  const plain = new sdk.S3Client({ forcePathStyle: true, requestChecksumCalculation: 'WHEN_REQUIRED' });
  const put = await getSignedUrl(plain, new sdk.PutObjectCommand(at('presigned')), { expiresIn: 60 });
  const answer = await fetch(put, { method: 'PUT', body: small });
  assert.equal(answer.status, 200, await answer.text());
  const get = await getSignedUrl(client, new sdk.GetObjectCommand(at('presigned')), { expiresIn: 60 });
  assert.equal(digest(Buffer.from(await (await fetch(get)).arrayBuffer())), digest(small));
}

async function listedAndDeleted() {
  const listed = {};
  for await (const page of sdk.paginateListObjectsV2({ client, pageSize: 3 }, { Bucket, Prefix: `${prefix}/` }))
    for (const { Key, Size } of page.Contents) listed[Key.slice(prefix.length + 1)] = Size;
  const [large, little] = [body.length, small.length];
  assert.deepEqual(listed, {
    copy: large, file: large, parts: large, presigned: little, short: little, small: little, stream: large,
  });
  const Objects = Object.keys(listed).map((name) => ({ Key: at(name).Key }));
  assert.equal((await send('DeleteObjects', { Bucket, Delete: { Objects } })).Errors, undefined);
  await assert.rejects(send('HeadObject', at('small')), { name: 'NotFound' });
}

(async () => {
  for (const step of [objects, multipart, copied, presigned, listedAndDeleted]) {
    await step();
    console.log(`${step.name} ok`);
  }
})();
