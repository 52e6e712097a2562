# Tasks of asyncio that wait for each other, the last of which stands. Lines are what the tests expect; keep them.
import asyncio, sys, time


async def leaf():
    stand()


def stand():
    print("ready", flush=True)
    time.sleep(1000)


async def in_group():
    await asyncio.sleep(0)
    await leaf()


async def grouping():
    async with asyncio.TaskGroup() as group:
        group.create_task(in_group(), name="größe 猫 " + "x" * 200)


async def gathering():
    await asyncio.gather(asyncio.sleep(0), grouping())


async def waiting():
    await nested()


async def nested():
    numbered = asyncio.create_task(gathering())
    await numbered


async def shared():
    task = asyncio.create_task(waiting(), name="waits")
    if sys.argv[1] == "several":
        asyncio.create_task(also(task), name="also waits")
    await task


async def also(task):
    await task


if sys.version_info < (3, 14):
    stand()
asyncio.run(shared())
