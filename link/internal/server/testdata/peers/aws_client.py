"""A client by boto3, which tries S3 and SQS below the URL it is given."""
import io
import sys

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

url = sys.argv[1]
settings = dict(region_name="us-east-1", aws_access_key_id="theirs", aws_secret_access_key="theirs")
s3 = boto3.client("s3", endpoint_url=url + "/s3", config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}), **settings)
s3.create_bucket(Bucket="boto3")
keys = ["plain", "a=b:c@d(e)+f,g!h*i&j$k'l", "with space/\u00fcml\u00e4ut/\u65e5\u672c.txt", "~-._"]
for key in keys:
    for size in (0, 5, 300_000):
        body = bytes(i % 251 for i in range(size))
        s3.put_object(Bucket="boto3", Key=key, Body=body, Metadata={"a": "b  c"})
        got = s3.get_object(Bucket="boto3", Key=key)
        assert got["Body"].read() == body and got["Metadata"] == {"a": "b  c"}, (key, size)
found = s3.list_objects_v2(Bucket="boto3", Prefix="a=b:c@d(e)+f")
assert [o["Key"] for o in found["Contents"]] == keys[1:2], found
large = bytes(range(256)) * (6 << 12)  # 6 MiB, in two parts
s3.upload_fileobj(io.BytesIO(large), "boto3", "large", Config=TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
assert s3.get_object(Bucket="boto3", Key="large")["Body"].read() == large

sqs = boto3.client("sqs", endpoint_url=url + "/sqs", config=Config(retries={"total_max_attempts": 1}), **settings)
queue = sqs.create_queue(QueueName="q")["QueueUrl"]
sqs.send_message(QueueUrl=queue, MessageBody="x" * 50_000)
assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "x" * 50_000
try:
    sqs.send_message(QueueUrl=queue, MessageBody="x" * 100_000)
    sys.exit("a body above retry.maxBodyBytes went out")
except sqs.exceptions.ClientError as error:
    assert error.response["ResponseMetadata"]["HTTPHeaders"]["fiso-error"] == "BODY_TOO_LARGE", error.response
print("ok")
