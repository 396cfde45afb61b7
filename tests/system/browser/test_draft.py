"""The texts before the present one."""

from tests.system.browser.page import Page


def test_the_texts_before_are_kept_up_to_a_limit(page: Page) -> None:
    page.open("#models")
    kept = page.driver.execute_async_script("""
        const done = arguments[0];
        (async () => {
            const {Draft} = await import(new URL("static/draft.js", document.baseURI));
            const kept = (texts, length) => {
                const draft = new Draft();
                for (let text = 0; text < texts; text += 1) {
                    draft.start(0);
                    draft.add({at: 0, put: null});
                    draft.remember(Array(length).fill({text: "a"}));
                }
                let count = 0;
                while (draft.back()) count += 1;
                return count;
            };
            done([kept(60, 10), kept(60, 20000), kept(3, 200000)]);
        })();
    """)
    assert kept == [50, 5, 1]
