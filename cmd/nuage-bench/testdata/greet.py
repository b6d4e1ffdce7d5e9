def handler(event, context):
    return {"greeting": "Hello, " + event["name"] + "!"}
