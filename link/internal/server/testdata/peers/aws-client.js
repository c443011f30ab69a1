// A client by the AWS SDK for JavaScript, which tries S3 below the URL it is given.
const assert = require('assert')
const fs = require('fs')
const os = require('os')
const path = require('path')
const { S3Client, CreateBucketCommand, PutObjectCommand, GetObjectCommand, ListObjectsV2Command } = require('@aws-sdk/client-s3')

const Bucket = 'javascript'
const s3 = new S3Client({
  endpoint: process.argv[2] + '/s3', region: 'us-east-1', forcePathStyle: true, maxAttempts: 1, credentials: { accessKeyId: 'theirs', secretAccessKey: 'theirs' },
})

async function run () {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'aws-client-'))
  try {
    await s3.send(new CreateBucketCommand({ Bucket }))
    for (const Key of ['plain', "a=b:c@d(e)+f,g!h*i&j$k'l", 'with space/\u00fcml\u00e4ut/\u65e5\u672c.txt']) {
      for (const size of [0, 5, 300000]) {
        const bytes = Buffer.alloc(size, 'abcdefg')
        const file = path.join(dir, 'file')
        fs.writeFileSync(file, bytes)
        for (const Body of [bytes, fs.createReadStream(file)]) { // a stream goes out in frames
          await s3.send(new PutObjectCommand({ Bucket, Key, Body, ContentLength: size }))
          const got = await (await s3.send(new GetObjectCommand({ Bucket, Key }))).Body.transformToByteArray()
          assert.ok(bytes.equals(Buffer.from(got)), `${Key}: ${got.length} bytes for ${size}`)
        }
      }
    }
    const found = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'a=b:c@d(e)+f' }))
    assert.deepEqual(found.Contents.map((o) => o.Key), ["a=b:c@d(e)+f,g!h*i&j$k'l"])
  } finally {
    fs.rmSync(dir, { recursive: true })
  }
}

run().then(() => console.log('ok'), (e) => { console.error(e); process.exitCode = 1 })
